"""Media of a far end that names an address it may not point us to goes to where its signalling comes
from: behind a NAT that is where it is, and whoever is up to something reaches itself alone."""

from __future__ import annotations

from callrouter.sip.protocol.addresses import Network, Reach, is_unspecified, may_send, reach_of
from callrouter.sip.protocol.hop import family_of
from callrouter.sip.protocol.sdp import MediaLine, SessionDescription


def anchored(
    description: SessionDescription, source: str, mentionable: tuple[Network, ...] = ()
) -> SessionDescription:
    """`description` with its lines' addresses, `c=` and `a=rtcp` (RFC 3605), as far as `source`, the
    IP literal it came from, may name them."""
    if reach_of(source) is None:
        return description
    lines = tuple(_anchored(line, source, mentionable) for line in description.media)
    return description if lines == description.media else description._replace(media=lines)


def _anchored(line: MediaLine, source: str, mentionable: tuple[Network, ...]) -> MediaLine:
    if not is_unspecified(line.host) and not may_send(line.host, source, mentionable):
        line = line._replace(host=_instead(line.host, source))
    if any(name == "rtcp" for name, _ in line.attributes):
        kept = (
            (name, _without_stranger(value, source, mentionable) if name == "rtcp" else value)
            for name, value in line.attributes
        )
        line = line._replace(attributes=tuple(kept))
    return line


def _instead(named: str, source: str) -> str:
    """Nothing, which cannot be used, for what is nobody's address anywhere and where the families
    differ."""
    is_somebody = reach_of(named) is not Reach.NOBODY
    return source if is_somebody and family_of(named) == family_of(source) else ""


def _without_stranger(rtcp: str, source: str, mentionable: tuple[Network, ...]) -> str:
    """A value of `a=rtcp`, its port alone where it names what may not be named."""
    words = rtcp.split()
    return rtcp if len(words) != 4 or may_send(words[3], source, mentionable) else words[0]
