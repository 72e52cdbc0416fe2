"""Keys and figures through a relay that loses, doubles and delays by a known measure."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from contextlib import ExitStack

import pytest

from callrouter.ports import CloseLeg, DigitReceived, Join, LegClosed
from tests.integration.bad_network import Relay, relayed
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import PCMU, SILENCE, Room, Station, room
from tests.integration.test_media_quality import block

KEYS = "0123456789*#ABCD"
LEGS, EACH = 50, 20


def through(here: Room, network: ExitStack, **relay: float) -> tuple[Station, Relay]:
    """A leg whose far end is behind a relay."""
    station = here.station()
    made = Relay(station.opened.local, station.peer.address, **relay)  # type: ignore[arg-type]  # by name
    network.enter_context(relayed(made))
    station.peer.to = made.for_far_end
    here.media.submit(station.remote(address=made.for_leg))
    return station, made


@pytest.mark.parametrize(("loss", "least"), [(0.01, LEGS * EACH), (0.05, LEGS * EACH - 1)])
@in_real_time
async def test_keys_arrive_once_and_in_order_through_a_lossy_relay(loss: float, least: int) -> None:
    chance = random.Random(9)
    async with room() as here:
        with ExitStack() as network:
            legs = [
                through(here, network, loss=loss, doubling=0.02, seed=seed)[0] for seed in range(1, LEGS + 1)
            ]
            pressed = ["".join(chance.choices(KEYS, k=EACH)) for _ in legs]

            async def press(station: Station, keys: str) -> None:
                await station.peer.talk(SILENCE[PCMU], 5)
                for key in keys:
                    await station.peer.press(key)

            await asyncio.gather(*(press(*pair) for pair in zip(legs, pressed, strict=True)))
            await asyncio.sleep(0.3)
        heard = [
            "".join(event.digit for event in station.events if isinstance(event, DigitReceived))
            for station in legs
        ]
        right = sum(
            len(keys) if keys == got else sum(x == y for x, y in zip(keys, got, strict=False))
            for keys, got in zip(pressed, heard, strict=True)
        )
        assert sum(map(len, heard)) <= LEGS * EACH, "none is heard twice"
        assert right >= least


@in_real_time
async def test_two_who_talk_hear_all_that_comes_through_a_network_of_100_ms_jitter() -> None:
    async with room() as here:
        with ExitStack() as network:
            a, _ = through(here, network, jitter=0.1, doubling=0.1, seed=6)
            b, _ = through(here, network, jitter=0.1, seed=7)
            here.media.submit(Join(a.leg, b.leg))
            said = {
                station: [bytes(7 * part + n for n in range(4)) * 40 for part in parts]
                for station, parts in ((a, range(0, 36, 2)), (b, range(1, 36, 2)))
            }
            await asyncio.gather(*(station.peer.say(b"".join(6 * words)) for station, words in said.items()))
            await asyncio.sleep(0.3)
        for speaker, listener in ((a, b), (b, a)):
            heard = [packet.payload for packet in listener.peer.heard if packet.payload != SILENCE[PCMU]]
            assert sorted(heard) == sorted(6 * said[speaker]), "each once"
            numbers = [packet.sequence for packet in listener.peer.heard]
            assert len(set(numbers)) == len(numbers)


async def answer_reports(station: Station, relay: Relay, jitter: int) -> None:
    """As the far end does: each report is answered at once with when it came."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp:
        rtcp.bind((station.peer.address.host, station.peer.address.port + 1))
        rtcp.setblocking(False)
        while True:
            report = await loop.sock_recv(rtcp, 1500)
            came = time.monotonic()
            (ssrc,) = struct.unpack("!I", report[4:8])
            (middle,) = struct.unpack("!I", report[10:14])
            held = round((time.monotonic() - came) * 65536)
            about = block(ssrc, jitter=jitter, last=middle, delay=held)
            host, port = relay.for_far_end
            rtcp.sendto(b"\x81\xc9\x00\x07" + struct.pack("!I", station.peer.ssrc) + about, (host, port + 1))


def rated(received: int, lost: int, gaps: int, delay_ms: float) -> tuple[float, float]:
    """R and MOS by ITU-T G.107 with the defaults, for G.711 with concealment (G.113: Ie 0, Bpl 25.1)."""
    share = 100 * lost / (received + lost)
    burst = max(1.0, lost / max(gaps, 1) * (1 - share / 100))
    impairment = 95 * share / (share / burst + 25.1)
    r = 93.2 - 0.024 * delay_ms - 0.11 * max(0.0, delay_ms - 177.3) - impairment
    return r, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6


@in_real_time
async def test_the_figures_of_a_leg_are_those_of_its_network() -> None:
    async with room(rtcp_interval_seconds=0.5) as here:
        with ExitStack() as network:
            station, relay = through(here, network, loss=0.08, delay=0.06, spare=2, seed=4)
            answering = asyncio.create_task(answer_reports(station, relay, jitter=24))
            await station.peer.talk(SILENCE[PCMU], 150)
            # The last one says where the stream ends.
            relay.spare = relay.passed + 1
            station.peer.send(SILENCE[PCMU])
            await asyncio.sleep(0.3)
            here.media.submit(CloseLeg(station.leg))
            counters = dict((await station.told(LegClosed)).counters)
            answering.cancel()
        assert relay.lost > 4
        assert (counters["lost"], counters["packets_in"]) == (relay.lost, 151 - relay.lost)
        assert 118_000 <= counters["round_trip_us"] <= 160_000, "60 ms there and 60 back"
        assert counters["reported_jitter_us"] == 3000
        delay_ms = counters["round_trip_us"] / 2000 + 20 + 2 * counters["jitter_us"] / 1000
        r, mos = rated(counters["packets_in"], counters["lost"], counters["gaps"], delay_ms)
        assert counters["r_factor_x100"] == pytest.approx(r * 100, abs=15)
        assert counters["mos_x100"] == pytest.approx(mos * 100, abs=2)
