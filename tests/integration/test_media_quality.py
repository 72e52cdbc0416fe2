"""What a leg knows of how well both ends hear each other: loss, jitter, round trip, ratings, and
every kind of datagram that is not audio, each under its own name."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from callrouter.ports import CloseLeg, Direction, LegClosed
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import PCMA, PCMU, SILENCE, Station, room
from tests.patience import PATIENCE_SECONDS

NTP_EPOCH = 2_208_988_800


async def close(station: Station) -> dict[str, int]:
    station.media.submit(CloseLeg(station.leg))
    return dict((await station.told(LegClosed)).counters)


@contextmanager
def rtcp_of(station: Station) -> Iterator[socket.socket]:
    """The far end's RTCP port, connected to the leg's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp:
        rtcp.bind((station.peer.address.host, station.peer.address.port + 1))
        rtcp.connect((station.peer.to[0], station.peer.to[1] + 1))
        rtcp.setblocking(False)
        yield rtcp


def ntp_middle() -> int:
    """The 32 bits of the NTP time that reports echo: seconds and 1/65536 s."""
    return int((time.time() + NTP_EPOCH) * 65536) & 0xFFFFFFFF


def block(ssrc: int, *, lost: int = 0, jitter: int = 0, last: int = 0, delay: int = 0) -> bytes:
    return struct.pack("!IIIIII", ssrc, lost, 0, jitter, last, delay)


async def next_report(rtcp: socket.socket) -> tuple[bytes, int]:
    """The next report of the leg and when it came."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE_SECONDS):
        data = await loop.sock_recv(rtcp, 1500)
    return data, ntp_middle()


@in_real_time
async def test_the_round_trip_is_the_networks_and_not_the_interval_of_reports() -> None:
    async with room(rtcp_interval_seconds=0.4) as here:
        station = here.station()
        with rtcp_of(station) as rtcp:
            here.media.submit(station.remote())
            await station.peer.talk(SILENCE[PCMU], 3)
            report, _ = await next_report(rtcp)
            (ssrc,) = struct.unpack("!I", report[4:8])
            (middle,) = struct.unpack("!I", report[10:14])
            # Held here for 100 ms, of which 30 ms are said to be the network's.
            await asyncio.sleep(0.1)
            answer = block(ssrc, last=middle, delay=int(0.07 * 65536))
            rtcp.send(b"\x81\xc9\x00\x07" + bytes(4) + answer)
            await asyncio.sleep(0.5)
            counters = await close(station)
        assert 28_000 <= counters["round_trip_us"] <= 45_000, counters


@in_real_time
async def test_the_far_end_can_tell_the_round_trip_from_our_reports() -> None:
    async with room(rtcp_interval_seconds=0.6) as here:
        station = here.station()
        with rtcp_of(station) as rtcp:
            here.media.submit(station.remote())
            await station.peer.talk(SILENCE[PCMU], 3)
            await next_report(rtcp)
            sent = ntp_middle()
            ntp = (int(time.time()) + NTP_EPOCH) << 32
            head = struct.pack("!BBHI", 0x80, 200, 6, station.peer.ssrc)
            rtcp.send(head + struct.pack("!QIII", (ntp & ~0xFFFFFFFF0000) | sent << 16, 0, 3, 480))
            report, now = await next_report(rtcp)
            await close(station)
        last, delay = struct.unpack("!II", report[44:52])
        assert last == sent
        assert 0 <= (now - last - delay) % 2**32 < 0.015 * 65536


@in_real_time
async def test_loss_and_jitter_cost_opinion_points() -> None:
    async with room() as here:
        good, bad = here.station(), here.station()
        here.media.submit(good.remote(), bad.remote())

        async def stumble() -> None:
            for turn in range(20):
                await bad.peer.talk(SILENCE[PCMU], 3)
                bad.peer.sequence = (bad.peer.sequence + 1 + turn % 2) % 2**16

        await asyncio.gather(good.peer.talk(SILENCE[PCMU], 60), stumble())
        perfect, stumbled = await close(good), await close(bad)
        assert perfect["lost"] == perfect["gaps"] == 0
        assert 435 <= perfect["mos_x100"] <= 440
        assert 9200 <= perfect["r_factor_x100"] <= 9272
        assert perfect["reported_mos_x100"] == 0, "nobody reported"
        # 28 of 88 lost in 19 gaps.
        assert (stumbled["lost"], stumbled["gaps"]) == (28, 19)
        assert 100 < stumbled["mos_x100"] < 300


@in_real_time
async def test_what_the_far_end_reports_is_rated_as_well() -> None:
    async with room(rtcp_interval_seconds=0.2) as here:
        station = here.station()
        with rtcp_of(station) as rtcp:
            here.media.submit(station.remote())
            await station.peer.talk(SILENCE[PCMU], 25)
            report, _ = await next_report(rtcp)
            (ssrc,) = struct.unpack("!I", report[4:8])
            rtcp.send(b"\x81\xc9\x00\x07" + bytes(4) + block(ssrc, lost=5))
            await asyncio.sleep(0.4)
            counters = await close(station)
        assert counters["reports_in"] == 1
        assert counters["reports_out"] >= 2
        assert 100 < counters["reported_mos_x100"] < counters["mos_x100"]


@in_real_time
async def test_a_leg_that_heard_nothing_has_no_rating() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        await asyncio.sleep(0.1)
        counters = await close(station)
        assert counters["packets_out"] > 0
        assert counters["mos_x100"] == counters["r_factor_x100"] == 0


@in_real_time
async def test_every_kind_of_unwelcome_datagram_has_its_own_count() -> None:
    async with room() as here:
        station = here.station()
        peer = station.peer
        here.media.submit(station.remote())
        await peer.talk(SILENCE[PCMU], 2)
        stun = struct.pack("!HHI12s", 1, 0, 0x2112A442, b"x" * 12)
        for _ in range(3):
            peer.socket.sendto(stun, peer.to)
        peer.send(b"")
        peer.send(bytes(33), 3)
        peer.send(bytes(20), 18)
        for junk in (b"", b"\x00", b"\x80\x00", bytes(40)):
            peer.socket.sendto(junk, peer.to)
        await peer.talk(SILENCE[PCMU], 2)
        counters = await close(station)
        assert (counters["stun"], counters["empty"], counters["wrong_type"]) == (3, 1, 2)
        assert counters["garbage"] == 4
        assert counters["packets_in"] == 5, "an empty packet is one of the stream"
        assert counters["lost"] == 0, "what cannot be used has arrived all the same"


@in_real_time
async def test_a_far_end_may_change_between_the_laws_of_g711() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        for payload_type in (PCMU, PCMA, PCMA, PCMU):
            await station.peer.talk(SILENCE[payload_type], 2, payload_type)
        counters = await close(station)
        assert (counters["packets_in"], counters["switches"]) == (8, 2)
        assert counters["wrong_type"] == counters["lost"] == 0


@in_real_time
async def test_sequence_numbers_wrap_without_loss() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        station.peer.sequence = 65534
        await station.peer.talk(SILENCE[PCMU], 6)
        counters = await close(station)
        assert (counters["wraps"], counters["lost"], counters["packets_in"]) == (1, 0, 6)


@in_real_time
async def test_what_is_said_while_it_is_not_wanted_is_not_lost() -> None:
    async with room() as here:
        station = here.station()
        for direction, frames in ((Direction.SENDRECV, 4), (Direction.SENDONLY, 20), (Direction.SENDRECV, 4)):
            here.media.submit(station.remote(direction=direction))
            await asyncio.sleep(0.05)
            await station.peer.talk(SILENCE[PCMU], frames)
            await asyncio.sleep(0.05)
        counters = await close(station)
        assert (counters["packets_in"], counters["unexpected"]) == (8, 20)
        assert (counters["lost"], counters["gaps"]) == (0, 0)
