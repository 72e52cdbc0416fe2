"""A far end as browsers are: aiortc, an implementation of WebRTC that shares no code with ours."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import math
import re
import struct
from array import array
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from time import monotonic

import aioice.ice
import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from tests.unit.media.sound import dtmf, sine, tone_level

RATE = 8000
FRAME = 160
EVENTS = 126
"""Payload type of telephone events in offers, which aiortc has none of itself."""
_KEYS = "0123456789*#ABCD"


class Voice(MediaStreamTrack):
    """What the browser says: silence, or what it is given."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._words: array[int] = array("h")
        self._sent = 0
        self._begun = monotonic()

    def say(self, samples: Iterable[int]) -> None:
        self._words.extend(samples)

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(max(0, self._begun + self._sent / RATE - monotonic()))
        piece, self._words = self._words[:FRAME], self._words[FRAME:]
        piece.extend([0] * (FRAME - len(piece)))
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(piece.tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent, fractions.Fraction(1, RATE)
        self._sent += FRAME
        return frame


class KeyPad:
    """Between aiortc and its SRTP: sends events in place of audio while a key is down, as browsers
    do (RFC 4733), and keeps the payloads of both directions by their types."""

    def __init__(self, connection: RTCPeerConnection) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.received: list[tuple[int, bytes]] = []
        self._waiting: list[bytes] = []
        self._began: bytes | None = None
        """Timestamp of the event that is under way."""
        transport = connection.getTransceivers()[0].sender.transport
        self._send, self._receive = transport._send_rtp, transport._handle_rtp_data
        setattr(transport, "_send_rtp", self._sending)  # noqa: B010 - a method, as mypy sees it
        setattr(transport, "_handle_rtp_data", self._receiving)  # noqa: B010 - as above

    def press(self, key: str) -> None:
        """160 ms, its end told three times."""
        code = _KEYS.index(key)
        durations = [FRAME * number for number in range(1, 9)]
        self._waiting += [struct.pack("!BBH", code, 10, duration) for duration in durations]
        self._waiting += [struct.pack("!BBH", code, 138, durations[-1])] * 3

    async def _sending(self, packet: bytes) -> None:
        if not 192 <= packet[1] <= 223:
            if self._waiting:
                marker = 0x80 if self._began is None else 0
                self._began = self._began or packet[4:8]
                number, ssrc = packet[2:4], packet[8:12]
                packet = packet[:1] + bytes([marker | EVENTS]) + number + self._began + ssrc
                packet += self._waiting.pop(0)
            else:
                self._began = None
            self.sent.append((packet[1] & 127, packet[12:]))
        await self._send(packet)

    async def _receiving(self, packet: bytes, arrival_time_ms: int) -> None:
        self.received.append((packet[1] & 127, packet[12:]))
        await self._receive(packet, arrival_time_ms)


class BrowserEnd:
    """One call's end.  `heard` is what came, as samples of 8 kHz."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.voice = Voice()
        self.heard: array[int] = array("h")
        self._listening: asyncio.Task[None] | None = None
        self.connection.addTrack(self.voice)
        self.connection.on("track", self._track)

    async def offer(self, *, events: bool = False) -> bytes:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        text = self.connection.localDescription.sdp
        if events:
            text = re.sub(r"(?m)^(m=audio .*?)(\r?)$", rf"\1 {EVENTS}\2", text)
            text += f"a=rtpmap:{EVENTS} telephone-event/{RATE}\r\n"
        return text.encode()

    async def take_answer(self, body: bytes) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(body.decode(), "answer"))

    async def answer(self, body: bytes) -> bytes:
        await self.connection.setRemoteDescription(RTCSessionDescription(body.decode(), "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return self.connection.localDescription.sdp.encode()

    def press(self, key: str) -> None:
        """As tones: aiortc has no telephone events."""
        self.voice.say(dtmf(key, 0.15))
        self.voice.say([0] * 800)

    def sing(self, hertz: float, seconds: float) -> None:
        self.voice.say(sine(hertz, seconds))

    def hears(self, hertz: float) -> bool:
        """The last 200 ms are that tone, and little else."""
        last = list(self.heard[-1600:])
        power = math.sqrt(sum(value * value for value in last) / max(1, len(last))) * math.sqrt(2)
        return len(last) == 1600 and power > 200 and tone_level(last, hertz) > 0.7 * power

    async def until_hears(self, hertz: float, seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not self.hears(hertz):
                await asyncio.sleep(0.02)

    async def until(self, state: str, seconds: float = 10) -> None:
        """`connected`, `failed` … as browsers name it."""
        async with asyncio.timeout(seconds):
            while self.connection.connectionState != state:
                await asyncio.sleep(0.02)

    def _track(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.ensure_future(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.AudioFrame)
                for piece in resampler.resample(frame):
                    self.heard.frombytes(bytes(piece.planes[0])[: piece.samples * 2])

    async def close(self) -> None:
        await self.connection.close()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)


@asynccontextmanager
async def browser_end() -> AsyncIterator[BrowserEnd]:
    """On loopback, which browsers and aiortc leave out for want of anybody there."""
    known = aioice.ice.get_host_addresses
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    end = BrowserEnd()
    try:
        yield end
    finally:
        await end.close()
        aioice.ice.get_host_addresses = known
