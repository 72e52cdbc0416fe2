"""Messages broken on purpose, the same ones for the same seed: what a faulty or hostile peer makes of
the torture messages and of good ones."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator

from tests.protocol.stranger import SDP_TYPE, invite, text
from tests.protocol.torture import RFC4475, RFC5118, read

NUMBERS = ("-1", "0", "00", "4294967295", "4294967296", "18446744073709551616", "9" * 5_000, "1e3", "٣", "")
BYTES = (b"\0", b"\r", b"\n", b"\t", b" ", b'"', b"<", b">", b";", b",", b":", b"\\", b"%", b"\x7f", b"\xff")
CHARSETS = ("Zoë Ångström".encode("latin-1"), b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f", "名".encode())
COMPACT = {
    b"Via": b"v",
    b"From": b"f",
    b"To": b"t",
    b"Call-ID": b"i",
    b"Contact": b"m",
    b"Content-Length": b"l",
}
ROUTE = "Record-Route: <sip:192.0.2.9;lr>"


@functools.cache
def originals() -> dict[str, bytes]:
    """By name: all torture messages, and good ones of every kind that is let in."""
    found = {name: read("rfc4475", name) for name in RFC4475}
    found |= {name: read("rfc5118", name) for name in RFC5118}
    good = {
        "invite": invite("Supported: timer, 100rel", "Session-Expires: 1800;refresher=uac", ROUTE),
        "replaces": invite("Replaces: a@b;to-tag=c;from-tag=d", "Require: replaces"),
        "bye": text("BYE", 'Reason: Q.850;cause=16;text="over"', to_tag="nobody"),
        "cancel": text("CANCEL"),
        "options": text("OPTIONS", "Accept: application/sdp", 'X-"Any": <a;b>'),
        "info": text("INFO", "Content-Type: application/dtmf-relay", body="Signal=5\r\nDuration=160\r\n"),
        "refer": text("REFER", "Refer-To: <sip:c@d?Replaces=e%3Bto-tag%3Df>", to_tag="nobody"),
        "update": text("UPDATE", SDP_TYPE, to_tag="nobody", body="v=0\r\n"),
        "register": text(
            "REGISTER", 'Contact: "A" <sip:a@192.0.2.9;transport=tcp>;q=0.7;expires=60', uri="sip:192.0.2.2"
        ),
    }
    return found | {name: message.encode() for name, message in good.items()}


def mutants(seed: int, each: int) -> Iterator[tuple[str, bytes]]:
    """`each` variants of every original, with a name to find it again by."""
    for name, data in originals().items():
        for index in range(each):
            chance = random.Random(f"{seed} {name} {index}")
            mutant = data
            steps = []
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                step = chance.choice(STEPS)
                steps.append(step.__name__)
                mutant = step(mutant, chance)
            yield f"{name}:{seed}:{index}:{'+'.join(steps)}", mutant


def split_head(data: bytes) -> tuple[list[bytes], bytes]:
    """Lines of the head, start line first, and what follows the blank line."""
    head, _, body = data.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


def _join(lines: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _at(lines: list[bytes], chance: random.Random) -> int:
    """A header line; the start line where there is no other."""
    return chance.randrange(1, len(lines)) if len(lines) > 1 else 0


def flip(data: bytes, chance: random.Random) -> bytes:
    """One bit of one octet."""
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def insert(data: bytes, chance: random.Random) -> bytes:
    """Octets that separate or end something."""
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(BYTES) * chance.choice((1, 1, 2, 50)) + data[at:]


def charset(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(CHARSETS) + data[at:]


def truncate(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def double(data: bytes, chance: random.Random) -> bytes:
    """A header twice, or more often than anybody needs."""
    lines, body = split_head(data)
    at = _at(lines, chance)
    return _join(lines[:at] + [lines[at]] * chance.choice((2, 2, 3, 40)) + lines[at + 1 :], body)


def remove(data: bytes, chance: random.Random) -> bytes:
    lines, body = split_head(data)
    del lines[_at(lines, chance)]
    return _join(lines or [b""], body)


def reorder(data: bytes, chance: random.Random) -> bytes:
    lines, body = split_head(data)
    rest = lines[1:]
    chance.shuffle(rest)
    return _join(lines[:1] + rest, body)


def fold(data: bytes, chance: random.Random) -> bytes:
    lines, body = split_head(data)
    at = _at(lines, chance)
    line = lines[at]
    cut = chance.randrange(len(line) + 1)
    lines[at] = line[:cut] + chance.choice((b"\r\n ", b"\r\n\t", b"\r\n  \r\n ", b"\n ")) + line[cut:]
    return _join(lines, body)


def case(data: bytes, chance: random.Random) -> bytes:
    lines, body = split_head(data)
    at = chance.randrange(len(lines))
    lines[at] = lines[at].swapcase()
    return _join(lines, body)


def compact(data: bytes, chance: random.Random) -> bytes:
    lines, body = split_head(data)
    for at, line in enumerate(lines):
        name, colon, value = line.partition(b":")
        if colon and chance.random() < 0.5:
            lines[at] = COMPACT.get(name.strip(), name) + chance.choice((b":", b" :", b"\t: ")) + value
    return _join(lines, body)


def space(data: bytes, chance: random.Random) -> bytes:
    lines, body = split_head(data)
    at = chance.randrange(len(lines))
    line = lines[at]
    cuts = [i for i, octet in enumerate(line) if octet in b" ;=:<>,/"] or [0]
    cut = chance.choice(cuts)
    lines[at] = line[:cut] + chance.choice((b" ", b"\t", b"  \t ")) + line[cut:]
    return _join(lines, body)


def length(data: bytes, chance: random.Random) -> bytes:
    """A Content-Length that is wrong, doubled or missing."""
    lines, body = split_head(data)
    kept = [line for line in lines if not line.lower().startswith((b"content-length", b"l:"))]
    right = len(body)
    values = [str(right), str(right + 1), str(max(0, right - 1)), f"+{right}", f"{right},{right}", *NUMBERS]
    for _ in range(chance.choice((0, 1, 1, 2))):
        name = chance.choice((b"Content-Length", b"l", b"CONTENT-LENGTH "))
        kept.insert(_at(kept, chance) or 1, name + b": " + chance.choice(values).encode())
    return _join(kept, body)


def number(data: bytes, chance: random.Random) -> bytes:
    """Some number of the head becomes another."""
    lines, body = split_head(data)
    at = chance.randrange(len(lines))
    words = lines[at].decode("latin-1").split(" ")
    where = [i for i, word in enumerate(words) if any(c.isdigit() for c in word)]
    if where:
        index = chance.choice(where)
        word = words[index]
        first = next(i for i, c in enumerate(word) if c.isdigit())
        last = first
        while last < len(word) and word[last].isdigit():
            last += 1
        changed = word[:first] + chance.choice(NUMBERS) + word[last:]
        words[index] = changed.encode().decode("latin-1")
        lines[at] = " ".join(words).encode("latin-1")
    return _join(lines, body)


def graft(data: bytes, chance: random.Random) -> bytes:
    """A header of another message."""
    lines, body = split_head(data)
    others, _ = split_head(chance.choice(list(originals().values())))
    at = _at(lines, chance)
    return _join([*lines[:at], chance.choice(others), *lines[at:]], body)


def bare(data: bytes, chance: random.Random) -> bytes:
    """Lines that end as they do in files."""
    return data.replace(b"\r\n", chance.choice((b"\n", b"\r", b"\r\r\n")), chance.choice((1, 3, -1)))


STEPS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip,
    insert,
    charset,
    truncate,
    double,
    remove,
    reorder,
    fold,
    case,
    compact,
    space,
    length,
    number,
    graft,
    bare,
)
