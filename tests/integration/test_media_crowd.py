"""Many legs at once: sprayed by strangers, and moved between threads while all of them talk."""

from __future__ import annotations

import asyncio
import random
import socket
from itertools import pairwise

from callrouter.ports import CloseLeg, Join, LegClosed
from tests.integration.rtp_peer import PCMU, SILENCE, Heard, Peer, Station, room

CALLS = 50
ROUNDS = 10
SPRAYED_PER_CALL = 10_000
SPRAY = b"\x2a" * 160
KEY_SPRAY = b"\x05\x8a\x03\x20"
MOVERS = 40
FRAMES = 75
LEAST_HEARD = FRAMES // 2
"""Of what is sent to a leg that is joined anew all the time, most is heard."""


async def closed(station: Station) -> dict[str, int]:
    station.media.submit(CloseLeg(station.leg))
    return dict((await station.told(LegClosed)).counters)


def said(caller: int, count: int) -> bytes:
    return bytes([caller, count]) * 80


def heard(station: Station) -> list[Heard]:
    """What came that is sound: of so many, some have their port where another's reports go."""
    return [packet for packet in station.peer.heard if packet.payload_type == PCMU]


async def sprayed(stations: list[Station], stranger: Peer) -> None:
    """A round's share of the spray on every leg: as loud as audio, and as keys."""
    for station in stations:
        stranger.to = station.peer.to
        for number in range(SPRAYED_PER_CALL // ROUNDS):
            if number % 100 == 0:
                stranger.send(KEY_SPRAY, 101)
            stranger.send(SPRAY)
        await asyncio.sleep(0)


async def test_ten_thousand_sprayed_packets_a_call_get_nothing_in_and_nothing_out() -> None:
    async with room(threads=2) as here:
        calls = [(here.station(), here.station()) for _ in range(CALLS)]
        stranger = Peer(ssrc=0x1234)
        stranger.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for caller, callee in calls:
            here.media.submit(caller.remote(), callee.remote(), Join(caller.leg, callee.leg))
        everybody = [station for call in calls for station in call]
        await asyncio.sleep(0.1)
        for station in everybody:
            station.peer.send(SILENCE[PCMU])
        await asyncio.sleep(0.1)
        for count in range(ROUNDS):
            for number, (caller, callee) in enumerate(calls):
                caller.peer.send(said(number, count))
                callee.peer.send(said(CALLS + number, count))
            # A bridge has two ends: each gets as much as a call is to get.
            await sprayed(everybody, stranger)
        await asyncio.sleep(0.1)
        stranger.read()
        assert stranger.heard == [], "nothing leaks"
        for number, (caller, callee) in enumerate(calls):
            for listener, speaker in ((callee, number), (caller, CALLS + number)):
                true = {SILENCE[PCMU], *(said(speaker, count) for count in range(ROUNDS))}
                assert {packet.payload for packet in heard(listener)} <= true
        for station in everybody:
            assert all(type(event).__name__ != "DigitReceived" for event in station.events)
            counters = await closed(station)
            assert counters["packets_in"] == ROUNDS + 1, "the spray pushed nothing out"
        stranger.socket.close()


async def test_a_crowd_moves_between_threads_and_partners_without_losing_a_packet() -> None:
    chance = random.Random(4)
    async with room(threads=3) as here:
        stations = [here.station() for _ in range(MOVERS)]
        for number, station in enumerate(stations):
            station.peer.ssrc += number
            here.media.submit(station.remote())
        await asyncio.sleep(0.1)
        talks = [
            asyncio.create_task(station.peer.say(b"".join(said(number, count) for count in range(FRAMES))))
            for number, station in enumerate(stations)
        ]
        while not all(talk.done() for talk in talks):
            one, other = chance.sample(stations, 2)
            here.media.submit(Join(one.leg, other.leg))
            await asyncio.sleep(0.01)
        await asyncio.gather(*talks)
        await asyncio.sleep(0.1)
        words = {said(number, count) for number in range(MOVERS) for count in range(FRAMES)}
        for station in stations:
            sound = heard(station)
            counters = await closed(station)
            assert counters["packets_in"] == FRAMES
            assert counters["lost"] == counters["duplicates"] == 0
            assert len(sound) >= LEAST_HEARD
            assert all((y.sequence - x.sequence) % 2**16 == 1 for x, y in pairwise(sound))
            assert {packet.payload for packet in sound} <= words | {SILENCE[PCMU]}
        assert any(packet.payload in words for station in stations for packet in station.peer.heard)
