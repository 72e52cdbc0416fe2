"""Video and fax beside a call's audio: passed on unread between two legs, to nobody else."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from callrouter.errors import MediaUnavailable
from callrouter.ports import (
    AudioLost,
    CloseLeg,
    CloseLine,
    Direction,
    Join,
    JoinLines,
    LegClosed,
    MediaAddress,
    OpenedLine,
    Part,
    SetLine,
)
from tests.e2e.addresses import free_ports
from tests.integration.rtp_peer import Room, Station, room
from tests.patience import until


@dataclass(slots=True)
class End:
    """A far end's video or fax: two plain sockets, and all that came to them."""

    station: Station
    line: OpenedLine
    sockets: tuple[socket.socket, socket.socket]
    heard: list[bytes] = field(default_factory=list)
    reports: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> MediaAddress:
        return MediaAddress(*self.sockets[0].getsockname()[:2])

    def set(self, *, fax: bool = False, address: MediaAddress | None = None) -> SetLine:
        control = MediaAddress(*self.sockets[1].getsockname()[:2])
        where = address or self.address
        leg, line = self.station.leg, self.line.line
        return SetLine(leg, line, where, None if fax else control, "udptl" if fax else "rtp")

    def send(self, datagram: bytes, *, control: bool = False, by: socket.socket | None = None) -> None:
        to = (self.line.local.host, self.line.local.port + control)
        (by or self.sockets[control]).sendto(datagram, to)

    def read(self) -> None:
        for sock, found in zip(self.sockets, (self.heard, self.reports), strict=True):
            try:
                while True:
                    datagram = sock.recv(65536)
                    # Not the audio's reports, which go beside its port: that may be this one.
                    if not datagram.startswith(b"\x81\xc8"):
                        found.append(datagram)
            except BlockingIOError:
                pass


_opened: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def udp(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((host, 0))
    _opened.append(sock)
    return sock


def end(here: Room, station: Station) -> End:
    host = station.opened.local.host
    return End(station, here.media.open_line(station.opened), (udp(host), udp(host)))


async def pair(here: Room, family: int = 4, *, fax: bool = False) -> tuple[End, End]:
    """Two stations with a line each, joined; with two threads they begin on different ones."""
    ends = end(here, here.station(family=4)), end(here, here.station(family=family))
    a, b = ends
    for one in ends:
        here.media.submit(one.station.remote(), one.set(fax=fax))
    here.media.submit(Join(a.station.leg, b.station.leg))
    here.media.submit(JoinLines(a.station.leg, a.line.line, b.station.leg, b.line.line))
    # Reports that come before this is carried out belong to nobody.
    await asyncio.sleep(0.05)
    return ends


def rtp(sequence: int, payload: bytes, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHII", 0x90, 96, sequence, sequence * 3000, ssrc) + payload


async def exchange(a: End, b: End, *, to_a: int = 0, to_b: int = 0) -> None:
    """Let pass what is on its way; so many datagrams have to come to either end, and as many as are due."""

    def came() -> bool:
        a.read()
        b.read()
        return len(a.heard) >= to_a and len(b.heard) >= to_b

    with suppress(TimeoutError):
        await until(came)
    for _ in range(10):
        await asyncio.sleep(0.01)
        came()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("family", [4, 6])
async def test_pictures_and_their_reports_pass_both_ways_to_the_last_octet(threads: int, family: int) -> None:
    async with room(threads=threads, bind_v6="::1") as here:
        a, b = await pair(here, family)
        sent = [rtp(n, os.urandom(1200 if n else 8000)) for n in range(150)]
        back = [rtp(n, os.urandom(n - 65_400), ssrc=8) for n in range(65500, 65536)]
        report = b"\x80\xc8\x00\x06" + os.urandom(24)
        for datagram in sent:
            a.send(datagram)
        for datagram in back:
            b.send(datagram)
        a.send(report, control=True)
        b.send(report[::-1], control=True)
        await exchange(a, b, to_a=len(back), to_b=len(sent))
        assert b.heard == sent, "in one burst, as a picture comes"
        assert a.heard == back
        assert (b.reports, a.reports) == ([report], [report[::-1]])
        here.media.submit(CloseLeg(a.station.leg), CloseLeg(b.station.leg))
        closed = await b.station.told(LegClosed)
        assert closed.counters["passed"] == len(sent) + 1
        assert closed.counters["passed_octets"] == sum(map(len, sent)) + len(report)


async def test_a_stranger_is_neither_heard_nor_sent_anything() -> None:
    async with room() as here:
        a, b = await pair(here)
        stranger = udp("127.0.0.1")
        for n in range(3):  # too few to be taken for a far end behind an address translator
            a.send(rtp(n, b"wrong", ssrc=666), by=stranger)
        await exchange(a, b)
        while not b.heard:  # the line is passed on from here, and its socket connected to its far end
            a.send(rtp(999, b"right"))
            await exchange(a, b)
        for n in range(20):
            a.send(rtp(n, b"wrong", ssrc=666), by=stranger)
            a.send(rtp(1000 + n, b"right"))
        while rtp(1019, b"right") not in b.heard:  # what came before it has been read
            await exchange(a, b)
        b.send(rtp(1, b"back"))
        await exchange(a, b, to_a=1)
        assert {datagram[12:] for datagram in b.heard} == {b"right"}
        assert len(a.heard) == 1
        with pytest.raises(BlockingIOError):
            stranger.recv(100)
        here.media.submit(CloseLeg(a.station.leg))
        # Those after the first right one meet a connected socket: the kernel turns them away, uncounted.
        assert (await a.station.told(LegClosed)).counters["passed_strangers"] == 3


async def test_a_far_end_behind_an_address_translator_is_found_by_its_packets() -> None:
    async with room() as here:
        a, b = await pair(here)
        here.media.submit(a.set(address=MediaAddress("127.0.0.77", 9)))
        await asyncio.sleep(0.05)
        for n in range(6):
            a.send(rtp(n, b"picture"))
        b.send(rtp(1, b"back"))
        await exchange(a, b, to_b=2)
        assert [datagram[2:4] for datagram in b.heard] == [b"\0\4", b"\0\5"], "from the fifth on"
        b.send(rtp(2, b"back"))
        await exchange(a, b, to_a=1)
        assert rtp(2, b"back") in a.heard


async def test_a_fax_keeps_a_call_alive_that_has_no_audio_and_its_end_is_noticed() -> None:
    async with room(rtp_timeout_seconds=1) as here:
        a, b = await pair(here, fax=True)
        for one in (a, b):
            here.media.submit(one.station.remote(direction=Direction.INACTIVE))
        sent = []
        for n in range(18):
            sent.append(struct.pack("!H", n) + os.urandom(40))
            a.send(sent[-1])
            await asyncio.sleep(0.1)
        await exchange(a, b, to_b=len(sent))
        assert b.heard == sent
        for one in (a, b):
            assert not [e for e in one.station.events if isinstance(e, AudioLost)], (
                "b says nothing for a page"
            )
        lost = await b.station.told(AudioLost)
        assert lost.silent_ms >= 1000
        assert (await a.station.told(AudioLost)).silent_ms >= 1000


async def test_a_line_that_is_closed_passes_nothing_and_gives_its_ports_back() -> None:
    first = free_ports(8)
    async with room(first_port=first, last_port=first + 7) as here:
        a, b = await pair(here)
        with pytest.raises(MediaUnavailable, match=f"{first}-{first + 7}"):
            here.media.open_line(a.station.opened)
        here.media.submit(CloseLine(a.station.leg, a.line.line))
        b.send(rtp(1, b"to nobody"))
        await exchange(a, b)
        assert not a.heard
        again = here.media.open_line(a.station.opened)
        assert again.local == a.line.local
        assert again.line != a.line.line
        here.media.submit(Part(a.station.leg), CloseLeg(a.station.leg))
        await a.station.told(LegClosed)
        with pytest.raises(MediaUnavailable, match="closed"):
            here.media.open_line(a.station.opened)


async def test_lines_move_between_threads_with_their_legs() -> None:
    """A third leg, joined later, may be on another thread: lines go on wherever their leg is."""
    async with room(threads=2) as here:
        _, b = await pair(here)
        others = [end(here, here.station()) for _ in range(5)]
        for index, other in enumerate(others):
            here.media.submit(other.station.remote(), other.set())
            here.media.submit(Join(b.station.leg, other.station.leg))
            here.media.submit(
                JoinLines(b.station.leg, b.line.line, other.station.leg, other.line.line),
            )
            await asyncio.sleep(0.05)
            b.send(rtp(index, b"on"))
            other.send(rtp(index, b"back"))
            await exchange(b, other, to_a=index + 1, to_b=1)
            assert other.heard == [rtp(index, b"on")]
            assert b.heard[-1] == rtp(index, b"back")
