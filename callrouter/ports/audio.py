"""How two ends agreed to exchange sound: directions, addresses, codecs, keys."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Direction(enum.Enum):
    """Media direction as *we* are allowed to use it (RFC 3264 §5.1, already mirrored)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """Where RTP goes.  `host` is an IP literal, without brackets."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What protects an audio stream (RFC 4568): each end's own key, for what it sends."""

    suite: str
    """As `a=crypto` names it: `AES_CM_128_HMAC_SHA1_80`, `AEAD_AES_256_GCM` …"""
    send: bytes = field(repr=False)
    """Master key and, behind it, master salt."""
    receive: bytes = field(repr=False)
    send_mki: bytes = b""
    """What each packet names the key with (RFC 3711 §3.1): ours, "" without."""
    mki: bytes = b""
    """And the far end's."""


@dataclass(frozen=True, slots=True)
class BrowserPeer:
    """A far end that is a browser's: it says by ICE where it is (RFC 8839), and a DTLS handshake gives
    the keys (RFC 5763)."""

    local_ufrag: str
    local_password: str = field(repr=False)
    remote_ufrag: str
    hash: str
    """`sha-256`, `sha-384` or `sha-512`: of the certificate that it will show …"""
    digest: bytes
    """… and what that gives."""
    is_client: bool
    """We begin the handshake."""


@dataclass(frozen=True, slots=True)
class NegotiatedAudio:
    """What offer and answer agreed on for one audio stream, from our side."""

    remote: MediaAddress
    remote_rtcp: MediaAddress | None
    codec: str
    """Encoding name in upper case: `PCMU`, `PCMA`, `G722`, `OPUS`."""
    payload_type: int
    """Number we send it with; we also accept it with this number."""
    dtmf_payload_type: int | None
    """RFC 4733 telephone-event number, or None: the peer did not offer it."""
    direction: Direction = Direction.SENDRECV
    longest_ms: int = 0
    """Longest packets that the peer takes; 0: any.  Ours are of 20 ms, or shorter where it wants that."""
    keys: SrtpKeys | None = None
    """None: RTP as it is."""
    dtmf_clock_rate: int = 8000
    """Of the telephone events; that of the codec, where the peer offers it."""
    own_payload_type: int | None = None
    """Number that we offered the codec with, where the answer has another one: the peer may send
    with either (RFC 3264 §6.1)."""
    own_dtmf_payload_type: int | None = None
    """The same of the telephone events."""
    noise_payload_type: int | None = None
    """RFC 3389 comfort noise, by which either end describes its silence; None: both send it."""
    browser: BrowserPeer | None = None
    """What `remote` says then is of no account: its checks do."""
