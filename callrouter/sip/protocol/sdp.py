"""Session descriptions (RFC 8866), as far as audio calls need them; everything else is kept only
as far as an answer has to mirror it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from callrouter.ports import Direction, MediaAddress
from callrouter.sip.protocol.addresses import is_unicast
from callrouter.sip.protocol.grammar import number

MAX_OCTETS = 16384
MAX_LINES = 500
MAX_MEDIA = 32
USUAL_PACKET_MS = 20
"""What everybody takes and sends (RFC 3551 §4.2)."""
_DIRECTIONS = {d.value: d for d in Direction}


class Codec(NamedTuple):
    payload_type: int
    name: str
    """Upper case."""
    clock_rate: int
    fmtp: str = ""


_STATIC = {
    0: Codec(0, "PCMU", 8000),
    8: Codec(8, "PCMA", 8000),
    9: Codec(9, "G722", 8000),
    13: Codec(13, "CN", 8000),
}


class MediaLine(NamedTuple):
    kind: str
    """`audio`, `video`, `image` …"""
    port: int
    """0: rejected or switched off."""
    profile: str
    formats: tuple[str, ...]
    host: str
    """Of its own `c=`, else of the session's; "" when there is neither."""
    direction: Direction = Direction.SENDRECV
    """As written: what the *writer* wants to do."""
    attributes: tuple[tuple[str, str], ...] = ()
    bandwidths: tuple[str, ...] = ()
    """Values of its `b=` lines."""

    def codecs(self) -> tuple[Codec, ...]:
        """Formats that are named by `rtpmap` or by RFC 3551, in the writer's order."""
        maps: dict[str, str] = {}
        fmtps: dict[str, str] = {}
        for name, value in self.attributes:
            if name == "rtpmap":
                key, rest = _numbered(value)
                maps[key] = rest
            elif name == "fmtp":
                key, rest = _numbered(value)
                fmtps[key] = rest
        found = []
        for text in self.formats:
            codec = _codec(text, maps.get(text), fmtps.get(text, ""))
            if codec is not None:
                found.append(codec)
        return tuple(found)

    def attribute(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)

    @property
    def longest_ms(self) -> int:
        """Longest packets that its writer takes; 0: any.  It can take none longer than `maxptime`, and
        would like those of `ptime` (RFC 4566 §6), which are shorter than ours or need not be said."""
        wanted, most = self._milliseconds("ptime"), self._milliseconds("maxptime")
        return min(wanted, most or wanted) if 0 < wanted < USUAL_PACKET_MS else most

    def _milliseconds(self, name: str) -> int:
        """0 where it is not said, or in no whole number."""
        try:
            return number(self.attribute(name) or "")
        except ValueError:
            return 0

    @property
    def reports(self) -> MediaAddress | None:
        """Where RTCP is received, by `a=rtcp` (RFC 3605); None where that says nothing usable."""
        words = (self.attribute("rtcp") or "").split()
        try:
            port = number(words[0], 65535) if words else 0
        except ValueError:
            return None
        named = words[3] if len(words) == 4 and is_unicast(words[3]) else self.host
        return MediaAddress(named, port) if port else None


def _numbered(value: str) -> tuple[str, str]:
    """The format that an attribute is of, and what it says."""
    words = value.split(maxsplit=1)
    return words[0] if words else "", words[1].strip() if len(words) > 1 else ""


def _codec(text: str, mapped: str | None, fmtp: str) -> Codec | None:
    try:
        payload_type = number(text, 127)
        if mapped is None:
            return _STATIC.get(payload_type)
        name, _, rate = mapped.partition("/")
        return Codec(payload_type, name.upper(), number(rate.partition("/")[0] or "8000"), fmtp)
    except ValueError:
        return None


class SessionDescription(NamedTuple):
    media: tuple[MediaLine, ...]
    session_id: str = ""
    version: int = 0
    """Of the `o=` line: grows when the description changes (RFC 3264 §8)."""
    attributes: tuple[tuple[str, str], ...] = ()
    """Those ahead of the first media line."""

    def attribute(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)


@dataclass(slots=True)
class _Section:
    """What is being read: the session part or one media part."""

    host: str = ""
    direction: Direction | None = None
    line: tuple[str, int, str, tuple[str, ...]] = ("", 0, "", ())
    attributes: list[tuple[str, str]] = field(default_factory=list)
    bandwidths: list[str] = field(default_factory=list)


def parse(body: bytes) -> SessionDescription:
    """Raises `ValueError`.  Lines may end in LF alone; line kinds we have no use for are skipped."""
    origin = ("", 0)
    session = _Section()
    section = session
    sections: list[_Section] = []
    for line in _lines(body):
        kind, value = line[:2], line[2:].strip()
        if kind == "m=":
            section = _Section(line=_media(value))
            sections.append(section)
        elif kind == "a=":
            name, _, content = value.partition(":")
            if name in _DIRECTIONS:
                section.direction = _DIRECTIONS[name]
            else:
                section.attributes.append((name, content))
        elif kind == "c=":
            section.host = _connection(value)
        elif kind == "b=":
            section.bandwidths.append(value)
        elif kind == "o=":
            origin = _origin(value)
    if len(sections) > MAX_MEDIA:
        raise ValueError("too many media lines")
    media = tuple(_close(s, session) for s in sections)
    return SessionDescription(media, *origin, tuple(session.attributes))


def _lines(body: bytes) -> list[str]:
    if len(body) > MAX_OCTETS:
        raise ValueError("the SDP is too large")
    lines = body.decode("utf-8", "replace").replace("\r\n", "\n").split("\n", MAX_LINES)
    if len(lines) > MAX_LINES:
        raise ValueError("too many SDP lines")
    if lines[0].rstrip() != "v=0":
        raise ValueError("the SDP does not start with v=0")
    return lines


def _close(section: _Section, session: _Section) -> MediaLine:
    kind, port, profile, formats = section.line
    return MediaLine(
        kind,
        port,
        profile,
        formats,
        section.host or session.host,
        section.direction or session.direction or Direction.SENDRECV,
        tuple(section.attributes),
        tuple(section.bandwidths),
    )


def _media(value: str) -> tuple[str, int, str, tuple[str, ...]]:
    words = value.split()
    if len(words) < 4:
        raise ValueError(f"malformed m= line: {value[:40]!r}")
    port = number(words[1].partition("/")[0], 65535)
    return words[0].lower(), port, words[2].upper(), tuple(words[3:])


def _connection(value: str) -> str:
    """`IN IP4 host[/ttl]`; a multicast suffix is cut off."""
    words = value.split()
    if len(words) != 3 or words[0].upper() != "IN" or words[1].upper() not in ("IP4", "IP6"):
        raise ValueError(f"malformed c= line: {value[:40]!r}")
    return words[2].partition("/")[0]


def _origin(value: str) -> tuple[str, int]:
    words = value.split()
    if len(words) < 6:
        raise ValueError(f"malformed o= line: {value[:40]!r}")
    session_id, version = words[-5:-3]  # user names have no spaces, but those of some telephones do
    try:
        return session_id, number(version, 2**33)
    except ValueError:
        return session_id, 0  # NTP stamps and beyond: the value is only ever compared
