"""SIP messages: a parser that takes everything it can frame, and a writer (RFC 3261 §7).

A message that cannot be refused cannot be answered either, so what is wrong with one is noted as
its `flaw` and left to `validate` to put a status on; only bytes that are neither request nor
response raise `Unframeable`.  Datagrams and streams share `parse_head`, and so the one reader of
Content-Length: where they disagreed, one could smuggle a request past the other.

Header fields keep the order and the values of the wire.  Names this program knows are written the
way the RFC does, whatever their case or compact form; other names stay as received.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from callrouter.sip.protocol.bodies import Part, description_in, encoding_of
from callrouter.sip.protocol.grammar import media_type, number, split
from callrouter.sip.protocol.headers.address import Address, tag_of
from callrouter.sip.protocol.headers.cseq import CSeq
from callrouter.sip.protocol.headers.names import CANONICAL
from callrouter.sip.protocol.headers.via import Via

MAX_BODY = 65536
MAX_HEAD = 32768
MAX_LINES = 256
MAX_LINE = 8192
VERSION = "SIP/2.0"

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\r\n") + b"\x7f"


class Unframeable(ValueError):
    """These bytes are no SIP message; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a message must be refused, and whether a stream cannot be read on behind it."""

    text: str
    status: int = 400
    fatal: bool = False


class Message:
    """What requests and responses have in common."""

    __slots__ = (
        "_cseq",
        "_description",
        "_from_tag",
        "_sender",
        "_to_tag",
        "_via",
        "body",
        "fields",
        "flaw",
        "index",
        "length",
        "wire",
    )

    def __init__(self, fields: list[tuple[str, str]], body: bytes = b"") -> None:
        self.fields = fields
        self.body = body
        self.flaw: Flaw | None = None
        self.length: int | None = None
        """What Content-Length says; None when it is missing."""
        self.wire = b""
        """The octets it was read from; none for a message of ours."""
        self.index: dict[str, list[str]] = {}
        """Canonical names, or lower case where there is none, to all their values."""
        for name, value in fields:
            self._note(name if name in CANONICAL else name.lower(), value)
        self._via: Via | None = None
        self._cseq: CSeq | None = None
        self._description: bytes | None = None
        self._sender: Address | None = None
        self._from_tag: str | None = None
        self._to_tag: str | None = None

    def _note(self, key: str, value: str) -> None:
        index = self.index
        if key in index:
            index[key].append(value)
        else:
            index[key] = [value]

    def add(self, name: str, value: str) -> None:
        """Append a header field, its name spelled canonically if it is one this program knows."""
        self.fields.append((name, value))
        self._note(name if name in CANONICAL else name.lower(), value)

    def all(self, name: str) -> Sequence[str]:
        """Every value of the header `name` (canonical spelling), one per line of the message."""
        values = self.index.get(name)
        if values is not None:
            return values
        return () if name in CANONICAL else self.index.get(name.lower(), ())

    def get(self, name: str) -> str | None:
        """The first value of the header `name`."""
        values = self.index.get(name)
        if values is None and name not in CANONICAL:
            values = self.index.get(name.lower())
        return values[0] if values else None

    def tokens(self, name: str) -> list[str]:
        """The comma-separated words of every `name` header, in lower case."""
        values = self.all(name)
        return [w for v in values for w in map(str.strip, v.lower().split(",")) if w] if values else []

    def mapping(self) -> dict[str, str]:
        """Canonical names to first values."""
        return dict(reversed(self.fields))

    @property
    def via_value(self) -> str:
        """The topmost Via as it stands, without those that share its line."""
        value = self.get("Via")
        if value is None:
            raise ValueError("no Via")
        return split(value, ",")[0].strip() if "," in value else value

    @property
    def via(self) -> Via:
        """The topmost Via.  Raises `ValueError`."""
        if self._via is None:
            self._via = Via.parse(self.via_value)
        return self._via

    def replace_via(self, value: str) -> None:
        """Write another topmost Via, which must have a line of its own."""
        at = next(index for index, (name, _) in enumerate(self.fields) if name == "Via")
        self.fields[at] = ("Via", value)
        self.index["Via"][0] = value
        self._via = None

    @property
    def cseq(self) -> CSeq:
        """Raises `ValueError`."""
        if self._cseq is None:
            self._cseq = CSeq.parse(self.get("CSeq") or "")
        return self._cseq

    @property
    def call_id(self) -> str:
        return self.get("Call-ID") or ""

    @property
    def sender(self) -> Address:
        """Who From names.  Raises `ValueError`."""
        if self._sender is None:
            self._sender = Address.parse(self.get("From") or "")
        return self._sender

    @property
    def from_tag(self) -> str:
        tag = self._from_tag
        if tag is None:
            tag = self._from_tag = tag_of(self.get("From") or "")
        return tag

    @property
    def to_tag(self) -> str:
        tag = self._to_tag
        if tag is None:
            tag = self._to_tag = tag_of(self.get("To") or "")
        return tag

    @property
    def content_type(self) -> str:
        """`type/subtype` in lower case, without parameters; "" when there is none."""
        return media_type(self.get("Content-Type") or "")

    @property
    def description(self) -> bytes:
        """The SDP in its body, b"" where there is none.  Raises `ValueError` as `description_in` does."""
        if self._description is None:
            self._description = description_in(self._described_body()) if self.body else b""
        return self._description

    def _described_body(self) -> Part:
        return Part(
            self.body,
            self.get("Content-Type") or "",
            self.get("Content-Disposition") or "",
            encoding_of(self.get("Content-Encoding")),
        )

    def _write(self, start: str) -> bytes:
        lines = [start]
        lines += [f"{name}: {value}" for name, value in self.fields if name != "Content-Length"]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


class Request(Message):
    __slots__ = ("branch", "method", "uri", "version")

    def __init__(
        self,
        method: str,
        uri: str,
        fields: list[tuple[str, str]],
        body: bytes = b"",
        version: str = VERSION,
    ) -> None:
        super().__init__(fields, body)
        self.method = method
        self.uri = uri
        """The Request-URI as on the wire."""
        self.version = version
        self.branch = ""
        """Of the Via that we have written; "" for what came from somebody else."""

    def __bytes__(self) -> bytes:
        return self._write(f"{self.method} {self.uri} {self.version}")

    def __repr__(self) -> str:
        return f"<{self.method} {self.uri}>"


class Response(Message):
    __slots__ = ("reason", "status", "version")

    def __init__(
        self,
        status: int,
        reason: str,
        fields: list[tuple[str, str]],
        body: bytes = b"",
        version: str = VERSION,
    ) -> None:
        super().__init__(fields, body)
        self.status = status
        """100 to 699; 0 where it was out of range."""
        self.reason = reason
        self.version = version

    def __bytes__(self) -> bytes:
        return self._write(f"{self.version} {self.status:03} {self.reason}")

    def __repr__(self) -> str:
        return f"<{self.status} {self.reason}>"


def parse(data: bytes) -> Request | Response:
    """One datagram.  Octets behind Content-Length are ignored (RFC 3261 §18.3)."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        message = parse_head(data.rstrip(b"\r\n") if data.endswith(b"\r\n") else data)
        message.wire = data
        message.flaw = message.flaw or Flaw("the header block has no end", fatal=True)
        return message
    message = parse_head(data[:end])
    message.wire = data
    body = data[end + 4 :]
    length = message.length
    if length is None:
        message.body = body
    elif length > len(body):
        message.body = body
        message.flaw = message.flaw or Flaw("the body is shorter than Content-Length says")
    else:
        message.body = body[:length] if length < len(body) else body
    if len(message.body) > MAX_BODY:
        message.flaw = message.flaw or Flaw("the body is too large", 513)
    return message


def parse_head(head: bytes) -> Request | Response:
    """Start line and header fields, without the blank line that ends them."""
    text, flaw = _decode(head)
    lines = text.split("\r\n", MAX_LINES + 1)
    message = _start(lines[0])
    if len(lines[0]) > MAX_LINE:
        flaw = flaw or Flaw("the start line is too long", 513)
    flaw = _read_fields(message, lines[1 : MAX_LINES + 1], flaw)
    message.flaw = flaw or message.flaw
    _read_length(message)
    return message


def _decode(head: bytes) -> tuple[str, Flaw | None]:
    """The text of a header block, unfolded, and what is wrong with its characters."""
    text = head.decode("utf-8", "surrogateescape")
    flaw: Flaw | None = None
    breaks = text.count("\r\n")
    if text.count("\r") != breaks or text.count("\n") != breaks:
        flaw = Flaw("a CR or LF stands alone", fatal=True)
        text = _defuse(text)
    elif len(head.translate(None, _CONTROLS)) != len(head) and _has_raw_control(text):
        flaw = Flaw("control character in the header block")
        text = _defuse(text)
    if breaks > MAX_LINES or len(head) > MAX_HEAD:
        flaw = flaw or Flaw("too many header fields", 513, fatal=True)
    if "\r\n " in text or "\r\n\t" in text:
        text = _unfold(text)
    return text, flaw


def _read_fields(message: Message, lines: list[str], flaw: Flaw | None) -> Flaw | None:
    """Note each line in `message`; the first flaw."""
    fields, index, canonical = message.fields, message.index, CANONICAL
    for line in lines:
        name, colon, value = line.partition(":")
        known = key = canonical.get(name, "")
        if not known:
            name = name.rstrip(" \t")
            known = canonical.get(name) or canonical.get(name.lower()) or name
            key = known if known in canonical else known.lower()
            if not colon or not name or " " in name or "\t" in name:
                flaw = flaw or Flaw(f"not a header field: {line[:30]!r}")
                continue
        if len(line) > MAX_LINE:
            flaw = flaw or Flaw(f"header field {known[:30]} is too long", 513)
            continue
        value = value.strip(" \t")
        fields.append((known, value))
        if key in index:
            index[key].append(value)
        else:
            index[key] = [value]
    return flaw


def _read_length(message: Message) -> None:
    """The one place where Content-Length is read."""
    values = message.all("Content-Length")
    if not values:
        return
    try:
        message.length = number(values[0])
    except ValueError:
        message.flaw = message.flaw or Flaw("Content-Length is not a number", fatal=True)
        return
    if len(values) > 1 and any(v != values[0] for v in values):
        message.flaw = message.flaw or Flaw("Content-Length is given twice, differently", fatal=True)
    elif message.length > MAX_BODY:
        message.flaw = message.flaw or Flaw("the body is too large", 513, fatal=True)


def _start(line: str) -> Request | Response:
    if line.startswith("SIP/") or line[:4].upper() == "SIP/":
        version, _, rest = line.partition(" ")
        code, _, reason = rest.partition(" ")
        if len(code) == 3 and code.isascii() and code.isdigit() and "100" <= code <= "699":
            return Response(int(code), reason, [], b"", version)
        response = Response(0, "", [], b"", version)
        response.flaw = Flaw(f"status code out of range: {code[:12]!r}")
        return response
    parts = line.split(" ")
    if len(parts) == 3 and parts[2][:4].upper() == "SIP/":
        return Request(parts[0], parts[1], [], b"", parts[2])
    words = line.split()
    if len(words) < 3 or words[-1][:4].upper() != "SIP/":
        raise Unframeable(f"not a SIP start line: {line[:40]!r}")
    request = Request(words[0], " ".join(words[1:-1]), [], b"", words[-1])
    request.flaw = Flaw("white space in the request line that does not belong there")
    return request


def _unfold(text: str) -> str:
    """A line that starts with white space continues the one before it (RFC 3261 §7.3.1)."""
    lines: list[list[str]] = []
    for line in text.split("\r\n"):
        if lines and line[:1] in (" ", "\t"):
            lines[-1].append(line.strip(" \t"))  # joined once: adding to a growing line is quadratic
        else:
            lines.append([line])
    return "\r\n".join(" ".join(parts) for parts in lines)


def _defuse(text: str) -> str:
    """Whatever could end or forge a line of the refusal that repeats these headers becomes a space."""
    return "\r\n".join(_CONTROL.sub(" ", line) for line in text.split("\r\n"))


def _has_raw_control(text: str) -> bool:
    """A control character may stand behind a backslash in a quoted string, and nowhere else."""
    before = ""
    for c in text:
        if ((c < " " and c not in "\t\r\n") or c == "\x7f") and before != "\\":
            return True
        before = c
    return False
