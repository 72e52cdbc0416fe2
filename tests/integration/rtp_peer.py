"""The far end of a leg, written apart from the engine: RTP by `struct` on a plain socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from typing import Protocol, TypeVar

from callrouter.media import RtpMedia, Settings
from callrouter.ports import (
    Direction,
    LegId,
    MediaAddress,
    MediaEvent,
    NegotiatedAudio,
    OpenedLeg,
    SetRemote,
)
from tests.integration import real_time
from tests.patience import PATIENCE_SECONDS

PCMU, PCMA, EVENT = 0, 8, 101
SILENCE = {PCMU: b"\xff" * 160, PCMA: b"\xd5" * 160}
FRAME_SECONDS = 0.02
Event = TypeVar("Event", bound=MediaEvent)


@dataclass(frozen=True, slots=True)
class Heard:
    at: float
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


class Wire(Protocol):
    def seal(self, packet: bytes) -> bytes: ...


def _rtp_socket(host: str) -> socket.socket:
    """A socket whose next port is free as well, for RTCP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        rtp = socket.socket(family, socket.SOCK_DGRAM)
        rtp.bind((host, 0))
        port = rtp.getsockname()[1]
        with socket.socket(family, socket.SOCK_DGRAM) as neighbour:
            try:
                neighbour.bind((host, port + 1))
            except (OSError, OverflowError):
                rtp.close()
                continue
        return rtp


class Peer:
    """One far end.  It hears everything that comes and says what it is told to."""

    def __init__(self, *, host: str = "127.0.0.1", ssrc: int = 0x1234) -> None:
        self.socket = _rtp_socket(host)
        self.socket.setblocking(False)
        self.ssrc = ssrc
        self.sequence = 65500
        self.timestamp = 2**32 - 16000
        self.heard: list[Heard] = []
        self.to: tuple[str, int] = ("", 0)
        self.wire: Wire | None = None
        """What packets pass on their way out."""

    @property
    def address(self) -> MediaAddress:
        host, port = self.socket.getsockname()[:2]
        return MediaAddress(host, port)

    def read(self) -> None:
        while True:
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                return
            _, second, sequence, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
            self.heard.append(
                Heard(monotonic(), bool(second & 128), second & 127, sequence, timestamp, ssrc, data[12:])
            )

    def send(
        self, payload: bytes, payload_type: int = PCMU, *, step: int = 160, marker: bool = False
    ) -> None:
        """One packet; the timestamp moves on by `step` after it."""
        second = payload_type | (128 if marker else 0)
        header = struct.pack("!BBHII", 128, second, self.sequence, self.timestamp, self.ssrc)
        packet = header + payload
        self.socket.sendto(packet if self.wire is None else self.wire.seal(packet), self.to)
        self.sequence = (self.sequence + 1) % 2**16
        self.timestamp = (self.timestamp + step) % 2**32

    def send_event(self, code: int, duration: int, *, end: bool) -> None:
        self.send(struct.pack("!BBH", code, 138 if end else 10, duration), EVENT, step=0)

    async def talk(self, payload: bytes, frames: int, payload_type: int = PCMU) -> None:
        """`frames` packets of `payload`, 20 ms apart by the clock."""
        begin = asyncio.get_running_loop().time()
        for frame in range(frames):
            self.send(payload, payload_type)
            await asyncio.sleep(
                max(0, begin + (frame + 1) * FRAME_SECONDS - asyncio.get_running_loop().time())
            )

    async def say(self, words: bytes, payload_type: int = PCMU) -> None:
        """Sound of any length, in packets of 20 ms by the clock."""
        begin = asyncio.get_running_loop().time()
        for number, at in enumerate(range(0, len(words), 160), 1):
            self.send(words[at : at + 160], payload_type)
            await asyncio.sleep(max(0, begin + number * FRAME_SECONDS - asyncio.get_running_loop().time()))

    async def press(self, key: str, *, drop: Callable[[int], bool] = lambda index: False) -> None:
        """A key as telephones send it: 5 packets and 2 more copies of the last; `drop` by index."""
        code = "0123456789*#ABCD".index(key)
        for index in range(7):
            if not drop(index):
                self.send_event(code, min(index + 1, 5) * 160, end=index >= 4)
            else:
                self.sequence = (self.sequence + 1) % 2**16
            await asyncio.sleep(FRAME_SECONDS)
        self.timestamp = (self.timestamp + 1600) % 2**32

    def is_whole(self) -> bool:
        """Every packet we were sent came, in order, each its place in one stream."""
        steps = list(pairwise(self.heard))
        return all((y.sequence - x.sequence) % 2**16 == 1 and x.ssrc == y.ssrc for x, y in steps)

    def audio(self) -> bytes:
        """Everything heard but telephone events, in one piece."""
        return b"".join(packet.payload for packet in self.heard if packet.payload_type != EVENT)


class Events:
    """What the engine told about a leg."""

    def __init__(self) -> None:
        self.all: list[MediaEvent] = []
        self._changed = asyncio.Event()

    def sink(self, event: MediaEvent) -> None:
        self.all.append(event)
        self._changed.set()

    async def told(self, kind: type[Event], number: int) -> Event:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = [event for event in self.all if isinstance(event, kind)]
                if len(found) >= number:
                    return found[number - 1]
                self._changed.clear()
                await self._changed.wait()


@dataclass(frozen=True, slots=True)
class Station:
    """A leg, its far end, and what the engine told about it."""

    media: RtpMedia
    opened: OpenedLeg
    peer: Peer
    _events: Events

    @property
    def leg(self) -> LegId:
        return self.opened.leg

    @property
    def events(self) -> list[MediaEvent]:
        return self._events.all

    async def told(self, kind: type[Event], number: int = 1) -> Event:
        """Wait for the `number`th event of a kind."""
        return await self._events.told(kind, number)

    def remote(
        self,
        codec: str = "PCMU",
        *,
        direction: Direction = Direction.SENDRECV,
        address: MediaAddress | None = None,
        events: int | None = EVENT,
    ) -> SetRemote:
        payload_type = {"PCMU": PCMU, "PCMA": PCMA}[codec]
        address = address or self.peer.address
        return SetRemote(self.leg, NegotiatedAudio(address, None, codec, payload_type, events, direction))


class Room:
    """An engine and a way to add stations to it."""

    def __init__(self, media: RtpMedia) -> None:
        self.media = media
        self.stations: list[Station] = []

    def station(self, *, family: int = 4) -> Station:
        """A new leg; its far end is known to nobody yet."""
        events = Events()
        opened = self.media.open(6 if family == 6 else 4, events.sink)
        peer = Peer(host="::1" if family == 6 else "127.0.0.1")
        station = Station(self.media, opened, peer, events)
        peer.to = (station.opened.local.host, station.opened.local.port)
        asyncio.get_running_loop().add_reader(peer.socket, lambda: peer.read())
        self.stations.append(station)
        return station


@asynccontextmanager
async def room(**settings: object) -> AsyncIterator[Room]:
    """An engine of two threads, stopped at the end with whatever is still open on it."""
    given: dict[str, object] = {"first_port": 42000, "last_port": 42999, "port_quarantine_seconds": 0}
    media = RtpMedia(Settings.model_validate(given | settings))
    await media.start()
    made = Room(media)
    has_failed = True
    try:
        yield made
        has_failed = False
    finally:
        await real_time.note(media, has_failed=has_failed)
        await media.stop()
        for station in made.stations:
            asyncio.get_running_loop().remove_reader(station.peer.socket)
            station.peer.socket.close()
