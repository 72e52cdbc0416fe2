"""What a browser adds to a description of audio (RFC 8829): where it is, by ICE (RFC 8839), and whose
handshake gives the keys, by DTLS-SRTP (RFC 5763, RFC 8842).

We are the lite end of ICE: our address is known, the browser tries its ways to it, and where it is
we learn from its checks.  So candidates of its own, trickled or not, need not be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from callrouter.ports import BrowserPeer, MediaAddress
from callrouter.sip.protocol.sdp import MediaLine, SessionDescription

OFFERED = "UDP/TLS/RTP/SAVPF"
PROFILES = frozenset({OFFERED, "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"})
"""The last two are how it was written before RFC 5764 had its own; or keys in SDP, which are not ours."""
FIRST_MID = "0"
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_MID = re.compile(r"[!#-'*+\-.0-9A-Z^-~]{1,64}")
_OCTETS = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Of the digests that are safe to know a certificate by, in no order: a description names one."""
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


def read(
    session: SessionDescription,
    line: MediaLine,
    own: OwnEnd,
    *,
    before: BrowserPeer | None = None,
    is_answer: bool = False,
) -> BrowserPeer | None:
    """What an audio line leads to; None where it is not a browser's, or not one we can serve.

    `before` is what had been agreed: a browser that now has other credentials begins ICE anew, and
    is answered with new ones (RFC 8839 §4.4.1.1); one that shows the same certificate goes on with
    the handshake it had.
    """
    ufrag = _attribute(session, line, "ice-ufrag")
    fingerprint = _fingerprint(_attribute(session, line, "fingerprint"))
    if not _UFRAG.fullmatch(ufrag) or fingerprint is None or _attribute(session, line, "ice-pwd") == "":
        return None
    # Of two lite ends nobody would check; and there is one port for audio and reports.
    if session.attribute("ice-lite") is not None or line.attribute("rtcp-mux") is None:
        return None
    is_same = before is not None and (before.hash, before.digest) == fingerprint
    kept = before.is_client if before is not None and is_same else None
    is_client = _is_client(_attribute(session, line, "setup"), kept, is_answer=is_answer)
    if is_client is None:
        return None
    if before is None:
        local = own.credentials.first
    elif is_answer or before.remote_ufrag == ufrag:
        local = (before.local_ufrag, before.local_password)
    else:
        local = own.credentials.new()
    return BrowserPeer(*local, ufrag, *fingerprint, is_client)


def _attribute(session: SessionDescription, line: MediaLine, name: str) -> str:
    """Of the line, else of the session."""
    own = line.attribute(name)
    return (own if own is not None else session.attribute(name) or "").strip()


def _fingerprint(value: str) -> tuple[str, bytes] | None:
    name, _, digits = value.partition(" ")
    try:
        digest = bytes.fromhex(digits.strip().replace(":", ""))
    except ValueError:
        return None
    return (name.lower(), digest) if _OCTETS.get(name.lower()) == len(digest) else None


def _is_client(setup: str, kept: bool | None, *, is_answer: bool) -> bool | None:
    """Whether we begin the handshake; None where the two cannot come together.  Left the choice, we
    begin (RFC 5763 §5), or go on as it was (RFC 8842 §5.3)."""
    if setup == "actpass" and not is_answer:
        return True if kept is None else kept
    return {"active": False, "passive": True, "": False}.get(setup)


def mid_of(line: MediaLine) -> str:
    """The line's name, "" when it has none that can be repeated."""
    mid = line.attribute("mid") or ""
    return mid if _MID.fullmatch(mid) else ""


def is_bundled(session: SessionDescription, line: MediaLine) -> bool:
    """The line is in a group that shares one port (RFC 9143)."""
    mid = mid_of(line)
    groups = (value.split() for name, value in session.attributes if name == "group")
    return bool(mid) and any(words[:1] == ["BUNDLE"] and mid in words for words in groups)


def session_lines(bundle: str) -> str:
    """What goes ahead of the first media line; `bundle` is the mid of the audio, "" = no group."""
    group = f"a=group:BUNDLE {bundle}\r\n" if bundle else ""
    return f"{group}a=ice-lite\r\n"


def media_lines(own: OwnEnd, credentials: tuple[str, str], setup: str, mid: str, local: MediaAddress) -> str:
    """What goes behind the audio line, its codecs and its direction."""
    ufrag, password = credentials
    return (
        (f"a=mid:{mid}\r\n" if mid else "")
        + f"a=msid:callrouter audio\r\na=rtcp-mux\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n"
        f"a=candidate:1 1 udp {_PRIORITY} {local.host} {local.port} typ host\r\na=end-of-candidates\r\n"
        f"a=fingerprint:{own.fingerprint}\r\na=setup:{setup}\r\n"
    )
