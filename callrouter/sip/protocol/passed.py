"""Media lines that are passed on unread: what of them crosses from one call to another, and how they
are written again (RFC 3264 §6, RFC 7092 §3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from callrouter.ports import Direction, MediaAddress, PassedLine, Passing
from callrouter.sip.protocol.addresses import is_unicast
from callrouter.sip.protocol.sdp import MediaLine

VIDEO, FAX = "video", "image"
KINDS = frozenset({VIDEO, FAX})
MOST = 6
"""Lines of one description that are passed."""
_PROFILES = {
    VIDEO: frozenset({"RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF"}),
    FAX: frozenset({"UDPTL"}),
}
_PROTECTED = frozenset({"RTP/SAVP", "RTP/SAVPF"})
_STAYS = frozenset(
    {
        "rtcp",
        "candidate",
        "remote-candidates",
        "end-of-candidates",
        "ice-ufrag",
        "ice-pwd",
        "ice-options",
        "ice-lite",
        "ice-mismatch",
        "ice-pacing",
        "mid",
        "bundle-only",
        "group",
        "msid",
        "setup",
        "connection",
        "fingerprint",
        "tls-id",
        "source-filter",
        "alt",
        "altc",
        "path",
    }
)
"""Attributes that name addresses, or bind a line to others of its own description."""


def passable(lines: Iterable[MediaLine], kinds: frozenset[str], *, is_secret: bool) -> tuple[PassedLine, ...]:
    """Those of a description's lines that may be passed on, of the `kinds` that are."""
    found: list[PassedLine] = []
    for slot, line in enumerate(lines):
        if line.kind in kinds and line.port and len(found) < MOST and _is_whole(line):
            found.append(_passed(slot, line, is_secret=is_secret))
    return tuple(found)


def _is_whole(line: MediaLine) -> bool:
    if line.profile not in _PROFILES.get(line.kind, ()) or not is_unicast(line.host):
        return False
    return line.profile not in _PROTECTED or line.attribute("crypto") is not None


def _passed(slot: int, line: MediaLine, *, is_secret: bool) -> PassedLine:
    crossing = tuple((name, value) for name, value in line.attributes if name.lower() not in _STAYS)
    return PassedLine(
        slot,
        line.kind,
        line.profile,
        line.formats,
        MediaAddress(line.host, line.port),
        line.reports,
        line.direction,
        line.bandwidths,
        crossing,
        is_secret,
    )


def fits(ours: PassedLine, theirs: MediaLine) -> bool:
    """An answer with `ours` is one to their line."""
    return bool(theirs.port) and ours.kind == theirs.kind


def by_slot(passing: Passing, *, is_secret: bool) -> dict[int, PassedLine]:
    """What may be written where; keys that nobody could read so far go nowhere they can be read."""
    return {
        line.slot: line
        for line in passing.lines
        if is_secret or not (line.is_secret and any(name == "crypto" for name, _ in line.attributes))
    }


def write(line: PassedLine, host: str) -> str:
    """The line with its attributes.  `host` is that of the session's `c=`."""
    profile = line.profile.lower() if line.kind == FAX else line.profile
    text = f"m={line.kind} {line.address.port} {profile} {' '.join(line.formats)}\r\n"
    if line.address.host != host:
        text += f"c=IN {'IP6' if ':' in line.address.host else 'IP4'} {line.address.host}\r\n"
    text += "".join(f"b={value}\r\n" for value in line.bandwidths)
    for name, value in line.attributes:
        text += f"a={name}:{value}\r\n" if value else f"a={name}\r\n"
    if line.kind != FAX or line.direction is not Direction.SENDRECV:
        text += f"a={line.direction.value}\r\n"
    return text


def declined(line: MediaLine | PassedLine) -> str:
    """The same line, switched off."""
    profile = line.profile.lower() if line.kind == FAX else line.profile
    return f"m={line.kind} 0 {profile} {' '.join(line.formats)}\r\n"


def write_slots(
    count: int,
    passed: Mapping[int, PassedLine],
    host: str,
    written: Mapping[int, str],
) -> str:
    """A description's lines in order: `written` where nothing is passed.  A slot that nobody knows
    anything about is audio switched off."""
    count = max(count, 1 + max(passed, default=-1))
    text = ""
    for slot in range(count):
        line = passed.get(slot)
        text += write(line, host) if line else written.get(slot, "m=audio 0 RTP/AVP 0\r\n")
    return text
