"""What a browser adds to a description of audio (RFC 8829): where it is, by ICE (RFC 8839), and whose
handshake gives the keys, by DTLS-SRTP (RFC 5763, RFC 8842).

We are the lite end of ICE: our address is known, the browser tries its ways to it, and where it is
we learn from its checks.  So candidates of its own, trickled or not, need not be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from callrouter.ports import BrowserPeer, Direction, MediaAddress
from callrouter.sip.protocol.sdp import MediaLine, SessionDescription

OFFERED = "UDP/TLS/RTP/SAVPF"
PROFILES = frozenset({OFFERED, "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"})
"""The last two are how it was written before RFC 5764 had its own; or keys in SDP, which are not ours."""
_ALWAYS = frozenset({OFFERED, "UDP/TLS/RTP/SAVP"})
"""Nobody but browsers, and what is made like them, writes these."""
FIRST_MID = "0"
STREAM = "a=msid:callrouter audio\r\n"
"""What the audio is called in a page."""
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_MID = re.compile(r"[!#-'*+\-.0-9A-Z^-~]{1,64}")
_OCTETS = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Of the digests that are safe to know a certificate by, in no order: a description names one."""
_MEDIA = frozenset({"audio", "video"})
_ROLES = {"active": False, "passive": True, "": False}
"""Of whom we answer: whether that has us begin (RFC 4145 §4)."""
_PRIORITY = 2130706431
"""Of a host's only candidate: type 126, local preference 65535, component 1 (RFC 8445 §5.1.2)."""


class OwnCredentials:
    """Our end of ICE on one stream: made when it is first needed, and again at each restart."""

    __slots__ = ("_first", "_token")

    def __init__(self, token: Callable[[int], str]) -> None:
        self._token = token
        self._first: tuple[str, str] | None = None

    @property
    def first(self) -> tuple[str, str]:
        """Username fragment and password, as the stream began with them."""
        if self._first is None:
            self._first = self.new()
        return self._first

    def new(self) -> tuple[str, str]:
        return self._token(4), self._token(16)


@dataclass(frozen=True, slots=True)
class OwnEnd:
    """What we show a browser."""

    fingerprint: str
    """Of our certificate, as `a=fingerprint` has it."""
    credentials: OwnCredentials


class Unfit(ValueError):
    """A line of a browser's that cannot be served; the words say why."""


def read(
    session: SessionDescription,
    line: MediaLine,
    own: OwnEnd,
    *,
    before: BrowserPeer | None = None,
    is_answer: bool = False,
) -> BrowserPeer | None:
    """What an audio line leads to; None where it is not a browser's.  Raises `Unfit`.

    `before` is what had been agreed: a browser that now has other credentials begins ICE anew, and
    is answered with new ones (RFC 8839 §4.4.1.1); one that shows the same certificate goes on with
    the handshake it had.
    """
    prints = _said(session, line, "fingerprint")
    if not prints and line.profile not in _ALWAYS:
        return None
    fingerprint = _best(prints)
    ufrag = _ufrag(session, line)
    is_same = before is not None and (before.hash, before.digest) == fingerprint
    kept = before.is_client if before is not None and is_same else None
    is_client = _is_client(_first(session, line, "setup"), kept, is_answer=is_answer)
    if before is None:
        local = own.credentials.first
    elif is_answer or before.remote_ufrag == ufrag:
        local = (before.local_ufrag, before.local_password)
    else:
        local = own.credentials.new()
    return BrowserPeer(*local, ufrag, *fingerprint, is_client)


def _ufrag(session: SessionDescription, line: MediaLine) -> str:
    """Where ICE can be done with whoever wrote this, its username fragment."""
    ufrag = _first(session, line, "ice-ufrag")
    if not _UFRAG.fullmatch(ufrag) or not _first(session, line, "ice-pwd"):
        raise Unfit("no a=ice-ufrag and a=ice-pwd for the audio")
    if session.attribute("ice-lite") is not None:
        raise Unfit("a=ice-lite, which we are too: nobody would check the path")
    if not _said(session, line, "rtcp-mux"):
        raise Unfit("no a=rtcp-mux: there is one port for audio and reports")
    return ufrag


def _said(session: SessionDescription, line: MediaLine, name: str) -> tuple[str, ...]:
    """All values of an attribute, of the nearest place that has any: the line; the first of the
    lines it shares a port with, which speaks for the others (RFC 9143 §7.1.3); the session."""
    for attributes in (line.attributes, *_speaker(session, line), session.attributes):
        values = tuple(value.strip() for key, value in attributes if key == name)
        if values:
            return values
    return ()


def _first(session: SessionDescription, line: MediaLine, name: str) -> str:
    return next(iter(_said(session, line, name)), "")


def _speaker(session: SessionDescription, line: MediaLine) -> list[tuple[tuple[str, str], ...]]:
    group = _group(session, line)
    return [other.attributes for other in session.media if group and mid_of(other) == group[0]][:1]


def _best(fingerprints: Iterable[str]) -> tuple[str, bytes]:
    """Of a certificate that is known by several digests the longest (RFC 8122 §5)."""
    read = [fingerprint for text in fingerprints if (fingerprint := _fingerprint(text)) is not None]
    if not read:
        raise Unfit(f"no a=fingerprint of {', '.join(_OCTETS)}")
    return max(read, key=lambda fingerprint: len(fingerprint[1]))


def _fingerprint(value: str) -> tuple[str, bytes] | None:
    name, _, digits = value.partition(" ")
    try:
        digest = bytes.fromhex(digits.strip().replace(":", ""))
    except ValueError:
        return None
    return (name.lower(), digest) if _OCTETS.get(name.lower()) == len(digest) else None


def _is_client(setup: str, kept: bool | None, *, is_answer: bool) -> bool:
    """Whether we begin the handshake.  Left the choice, we begin (RFC 5763 §5), or go on as it was
    (RFC 8842 §5.3)."""
    if setup == "actpass" and not is_answer:
        return True if kept is None else kept
    if setup not in _ROLES:
        raise Unfit(f"a=setup:{setup} leaves nobody to begin the handshake")
    return _ROLES[setup]


def mid_of(line: MediaLine) -> str:
    """The line's name, "" when it has none that can be repeated."""
    mid = line.attribute("mid") or ""
    return mid if _MID.fullmatch(mid) else ""


def _group(session: SessionDescription, line: MediaLine) -> list[str]:
    """Mids of the lines that share one port with this (RFC 9143); the first speaks for all."""
    mid = mid_of(line)
    for name, value in session.attributes:
        kind, *mids = value.split() or [""]
        if name == "group" and kind == "BUNDLE" and mid and mid in mids:
            return mids
    return []


def is_bundled(session: SessionDescription, line: MediaLine) -> bool:
    return bool(_group(session, line))


def bundle_of(session: SessionDescription, line: MediaLine) -> tuple[str, ...]:
    """Mids of the group that we answer with: the audio line's, behind that of the line that speaks
    for the group.  RFC 9143 §7.3.1 would have another speak where that one is declined, but what
    had made a transport for that one alone (Chrome, `max-bundle`) then refuses the answer."""
    mids = _group(session, line)
    speaks = [other for other in session.media if mids and mid_of(other) == mids[0]]
    if speaks[:1] in ([], [line]):
        return (mid_of(line),) if mids else ()
    first = speaks[0]
    is_media = first.kind in _MEDIA and first.profile in PROFILES and first.formats and first.port
    return (mids[0], mid_of(line)) if is_media else (mid_of(line),)


def silent(line: MediaLine, local: MediaAddress) -> str:
    """A line that is kept for its place in the bundle, and carries nothing."""
    number = line.formats[0]
    maps = [
        f"a={name}:{value}\r\n"
        for name, value in line.attributes
        if name in ("rtpmap", "fmtp") and value.partition(" ")[0] == number
    ]
    head = f"m={line.kind} {local.port} {line.profile} {number}\r\n"
    return head + "".join(maps) + f"a={Direction.INACTIVE.value}\r\n"


def is_offered(session: SessionDescription, line: MediaLine) -> bool:
    """Port 0 takes a line back, but for one that has no port of its own: it is offered at that of
    others (`a=bundle-only`, RFC 9143 §6)."""
    return line.port != 0 or (line.attribute("bundle-only") is not None and is_bundled(session, line))


def session_lines(bundle: tuple[str, ...]) -> str:
    """What goes ahead of the first media line; `bundle` are the mids of the group, none = no group."""
    group = f"a=group:BUNDLE {' '.join(bundle)}\r\n" if bundle else ""
    return f"{group}a=ice-lite\r\n"


def media_lines(own: OwnEnd, credentials: tuple[str, str], setup: str, mid: str, local: MediaAddress) -> str:
    """What goes behind a line, its codecs and its direction."""
    ufrag, password = credentials
    return (
        (f"a=mid:{mid}\r\n" if mid else "") + f"a=rtcp-mux\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n"
        f"a=candidate:1 1 udp {_PRIORITY} {local.host} {local.port} typ host\r\na=end-of-candidates\r\n"
        f"a=fingerprint:{own.fingerprint}\r\na=setup:{setup}\r\n"
    )
