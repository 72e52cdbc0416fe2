"""A far end that protects what it says with libsrtp, which shares no code with the engine."""

from __future__ import annotations

import struct
from dataclasses import replace
from time import monotonic

from pylibsrtp import Error, Policy, Session

from callrouter.ports import SetRemote, SrtpKeys
from tests.integration.rtp_peer import Heard, Station

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    "AES_CM_128_HMAC_SHA1_32": (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
    "AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
}
TAGS = dict.fromkeys(PROFILES, (0, 0)) | {
    "AES_CM_128_HMAC_SHA1_80": (10, 10),
    "AES_CM_128_HMAC_SHA1_32": (4, 10),
}
"""Octets behind the identifier of a key, in RTP and RTCP: with GCM the tag is ahead of it."""


def keys(suite: str, salt: int = 0) -> SrtpKeys:
    """From the engine's point of view."""
    length = PROFILES[suite][1]
    ours = bytes((n * 7 + salt) % 256 for n in range(length))
    return SrtpKeys(suite, ours, bytes((n * 11 + 3 + salt) % 256 for n in range(length)))


class SecurePeer:
    """Wraps a station's far end: what it says is sealed, what it hears is opened."""

    def __init__(self, station: Station, agreed: SrtpKeys) -> None:
        profile = PROFILES[agreed.suite][0]
        self._out = Session(Policy(agreed.receive, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self._in = Session(Policy(agreed.send, Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
        self.station = station
        self.agreed = agreed
        self.heard: list[Heard] = []
        self.rejected = 0
        station.peer.wire = self
        station.peer.read = self.read  # type: ignore[method-assign]  # opened before it is looked at

    def remote(self) -> SetRemote:
        order = self.station.remote()
        return replace(order, audio=replace(order.audio, keys=self.agreed))

    def seal(self, packet: bytes) -> bytes:
        return self._name(self._out.protect(packet), TAGS[self.agreed.suite][0])

    def seal_report(self, packet: bytes) -> bytes:
        return self._name(self._out.protect_rtcp(packet), TAGS[self.agreed.suite][1])

    def open_report(self, packet: bytes) -> bytes:
        return self._in.unprotect_rtcp(self._nameless(packet, TAGS[self.agreed.suite][1]))

    def _name(self, packet: bytes, tag: int) -> bytes:
        """With the identifier of the key, which libsrtp's Python does not write, ahead of the tag."""
        at = len(packet) - tag
        return packet[:at] + self.agreed.mki + packet[at:]

    def _nameless(self, packet: bytes, tag: int) -> bytes:
        at = len(packet) - tag
        end = at - len(self.agreed.send_mki)
        assert packet[end:at] == self.agreed.send_mki
        return packet[:end] + packet[at:]

    def read(self) -> None:
        while True:
            try:
                data = self.station.peer.socket.recv(2048)
            except BlockingIOError:
                return
            try:
                data = self._in.unprotect(self._nameless(data, TAGS[self.agreed.suite][0]))
            except Error:
                self.rejected += 1
                continue
            _, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
            self.heard.append(
                Heard(monotonic(), bool(second & 128), second & 127, sequence, timestamp, ssrc, data[12:])
            )
