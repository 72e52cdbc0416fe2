"""What a leg hears: keys through a bad network, its far end and nobody else, time-outs."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

import pytest

from callrouter.errors import MediaUnavailable, NoSuchFamily
from callrouter.ports import (
    AudioLost,
    AudioStarted,
    CloseLeg,
    DigitBegan,
    DigitReceived,
    Direction,
    Join,
    LegClosed,
    MediaAddress,
    Play,
    PlaySilence,
    SetRemote,
)
from tests.e2e.addresses import free_ports
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import EVENT, PCMU, SILENCE, Peer, Station, room
from tests.patience import until
from tests.unit.media.sound import dtmf, silence, to_mulaw


def digits(station: Station) -> str:
    return "".join(event.digit for event in station.events if isinstance(event, DigitReceived))


async def close(station: Station) -> dict[str, int]:
    station.media.submit(CloseLeg(station.leg))
    return dict((await station.told(LegClosed)).counters)


async def test_every_key_is_heard_once_though_one_packet_in_five_is_lost() -> None:
    keys = "0123456789*#ABCD" * 2
    chance = random.Random(7)
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        for key in keys:
            lost = {index for index in range(7) if chance.random() < 0.2}
            await station.peer.press(key, drop=lost.__contains__)
        await asyncio.sleep(0.2)
        assert digits(station) == keys


async def test_a_key_is_told_when_it_goes_down_and_when_it_is_let_go() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        for count in range(1, 16):
            station.peer.send_event(7, 160 * count, end=False)
            await asyncio.sleep(0.02)
        began = await station.told(DigitBegan)
        assert (began.digit, digits(station)) == ("7", "")
        station.peer.send_event(7, 160 * 16, end=True)
        ended = await station.told(DigitReceived)
        assert (ended.digit, ended.duration_ms) == ("7", 320)
        assert sum(isinstance(event, DigitBegan) for event in station.events) == 1


async def test_keys_survive_doubled_and_reordered_packets() -> None:
    async with room() as here:
        station = here.station()
        peer = station.peer
        here.media.submit(station.remote())
        for key in (1, 1, 2):
            packets = [(min(n, 5) * 160, n >= 5) for n in range(1, 8)]
            base = peer.sequence
            for index in (0, 2, 1, 2, 4, 3, 5, 5, 6, 6):
                peer.sequence = (base + index) % 2**16
                peer.send_event(key, packets[index][0], end=packets[index][1])
            peer.sequence = (base + 7) % 2**16
            peer.timestamp = (peer.timestamp + 1600) % 2**32
            await asyncio.sleep(0.05)
        await station.told(DigitReceived, 3)
        assert digits(station) == "112"


@pytest.mark.parametrize("octets", [80, 240, 320, 480])
async def test_packets_of_any_length_are_heard_and_passed_on_as_they_are(octets: int) -> None:
    """10, 30, 40 and 60 ms: keys in the sound are heard, and a partner gets every packet."""
    said = to_mulaw(dtmf("5", 0.12) + silence(0.12))
    packets = [said[at : at + octets] for at in range(0, len(said), octets)]
    async with room() as here:
        station, partner = here.station(), here.station()
        here.media.submit(station.remote(events=None), partner.remote(), Join(station.leg, partner.leg))
        for packet in packets:
            station.peer.send(packet, step=len(packet))
            await asyncio.sleep(0.001)  # as after a stall: nothing is made up for meanwhile
        await station.told(DigitReceived)
        assert digits(station) == "5"

        def sounding(payloads: Iterable[bytes]) -> list[bytes]:
            """All but silence, of which more is sent where this process is held up."""
            return [payload for payload in payloads if set(payload) != {0xFF}]

        def heard() -> list[bytes]:
            return sounding(packet.payload for packet in partner.peer.heard)

        with suppress(TimeoutError):
            await until(lambda: len(heard()) >= len(sounding(packets)))
        assert heard() == sounding(packets)


async def test_a_far_end_may_use_the_numbers_we_offered_or_those_it_answered_with() -> None:
    async with room() as here:
        station = here.station()
        peer = station.peer
        answered = station.remote(events=96).audio
        audio = replace(answered, payload_type=97, own_payload_type=PCMU, own_dtmf_payload_type=EVENT)
        here.media.submit(SetRemote(station.leg, audio))
        for number in (EVENT, 96, 99):
            for duration in (160, 320, 480):
                peer.send(struct.pack("!BBH", 5, 138 if duration == 480 else 10, duration), number, step=0)
            peer.timestamp += 1600
        for number in (PCMU, 97):
            peer.send(b"\xff" * 160, number)
        await station.told(DigitReceived, 2)
        await asyncio.sleep(0.1)
        assert digits(station) == "55"
        counted = await close(station)
        assert counted["wrong_type"] == 3


async def test_the_first_packet_is_told_once_with_its_time() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        await asyncio.sleep(0.1)
        assert station.events == []
        await station.peer.talk(SILENCE[PCMU], 5)
        await station.told(AudioStarted)
        assert sum(isinstance(event, AudioStarted) for event in station.events) == 1


@in_real_time
async def test_another_address_is_latched_onto_when_the_signalled_one_is_silent() -> None:
    async with room() as here:
        station = here.station()
        wrong = here.station().peer
        here.media.submit(station.remote(address=wrong.address))
        await station.peer.talk(SILENCE[PCMU], 4)
        await asyncio.sleep(0.05)
        assert station.peer.heard == [], "four packets prove nothing"
        await station.peer.talk(SILENCE[PCMU], 10)
        count = len(wrong.heard)
        assert 6 <= len(station.peer.heard) <= 12
        await asyncio.sleep(0.1)
        assert len(wrong.heard) == count
        assert (await close(station))["packets_in"] == 10


@in_real_time
async def test_a_sprayer_gets_nothing_in_and_nothing_out() -> None:
    async with room() as here:
        station = here.station()
        sprayer = here.station().peer
        sprayer.to = station.peer.to
        here.media.submit(
            station.remote(), Play(station.leg, here.media.token(), (PlaySilence(5000),), 1, "1")
        )
        await station.peer.talk(SILENCE[PCMU], 2)
        for _ in range(10):
            for _ in range(100):
                sprayer.send(b"\x80" * 160)
            sprayer.send_event(1, 800, end=True)
            await station.peer.talk(SILENCE[PCMU], 1)
        await asyncio.sleep(0.1)
        counters = await close(station)
        assert sprayer.heard == []
        assert digits(station) == ""
        assert counters["packets_in"] == 12, "the spray pushed nothing out"


async def test_garbage_is_counted_and_hurts_nothing() -> None:
    async with room() as here:
        station = here.station()
        peer = station.peer
        here.media.submit(station.remote())
        await peer.talk(SILENCE[PCMU], 2)
        chance = random.Random(1)
        junk = [
            b"",
            b"\x80",
            bytes(1500),
            b"\x00\x01\x00\x00" + bytes(16),
            b"\x80\xc8" + bytes(26),
            b"\xff" * 12,
        ]
        junk += [chance.randbytes(chance.randrange(1, 60)) for _ in range(40)]
        for datagram in junk:
            peer.socket.sendto(datagram, peer.to)
            await asyncio.sleep(0)
        peer.send(SILENCE[PCMU], 18)
        await peer.talk(SILENCE[PCMU], 5)
        counters = await close(station)
        assert counters["packets_in"] == 7
        named = ("garbage", "stun", "wrong_type", "duplicates", "strangers", "empty")
        assert sum(counters[name] for name in named) == len(junk) + 1
        assert counters["wrong_type"] >= 1


async def test_a_new_stream_of_the_far_end_is_followed() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        await station.peer.talk(SILENCE[PCMU], 5)
        station.peer.ssrc, station.peer.sequence, station.peer.timestamp = 99, 7, 4
        await station.peer.talk(SILENCE[PCMU], 5)
        await station.peer.press("8")
        await station.told(DigitReceived)
        counters = await close(station)
        assert counters["new_streams"] == 2
        assert counters["lost"] == 0
        assert counters["packets_in"] == 5 + 5 + 7
        assert counters["duplicates"] == 0


async def test_one_packet_unlike_the_stream_is_nobodys() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        peer = station.peer
        await peer.talk(SILENCE[PCMU], 3)
        for _ in range(10):
            true = peer.ssrc, peer.sequence
            peer.ssrc, peer.sequence = peer.ssrc + 1 + peer.sequence % 7, 7 * peer.sequence % 2**16
            peer.send_event(5, 800, end=True)
            peer.ssrc, peer.sequence = true
            await peer.talk(SILENCE[PCMU], 1)
        counters = await close(station)
        assert (counters["packets_in"], counters["duplicates"], counters["new_streams"]) == (13, 10, 1)
        assert digits(station) == ""


async def test_loss_is_counted() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        await station.peer.talk(SILENCE[PCMU], 3)
        station.peer.sequence += 4
        await station.peer.talk(SILENCE[PCMU], 3)
        assert (await close(station))["lost"] == 4


@in_real_time
async def test_silence_of_the_network_is_told_once_and_again_after_audio_came_back() -> None:
    async with room(rtp_timeout_seconds=0.2) as here:
        station = here.station()
        here.media.submit(station.remote())
        lost = await station.told(AudioLost)
        assert lost.silent_ms >= 200
        await asyncio.sleep(0.3)
        assert len(station.events) == 1
        await station.peer.talk(SILENCE[PCMU], 2)
        again = await station.told(AudioLost, 2)
        assert again.silent_ms >= 200
        assert again.silent_ms <= (again.at_ns - lost.at_ns) // 1_000_000, "counted from what was heard last"


@pytest.mark.parametrize("held", [Direction.SENDONLY, Direction.RECVONLY, Direction.INACTIVE])
@in_real_time
async def test_a_leg_on_hold_is_not_missed_until_it_is_resumed(held: Direction) -> None:
    """Whoever holds: a telephone that says `sendonly` may have no music to send."""
    async with room(rtp_timeout_seconds=0.2) as here:
        station = here.station()
        here.media.submit(station.remote(direction=held))
        await asyncio.sleep(0.4)
        assert station.events == []
        resumed_ns = time.monotonic_ns()
        here.media.submit(station.remote())
        lost = await station.told(AudioLost)
        assert lost.at_ns - resumed_ns >= 200_000_000, "the hold does not count"


@in_real_time
async def test_who_waits_for_an_answer_is_not_missed_before_it() -> None:
    """However long that takes: from the answer on it has all the time there is."""
    async with room(rtp_timeout_seconds=0.2) as here:
        station = here.station()
        early = station.remote()
        here.media.submit(replace(early, is_early=True))
        await asyncio.sleep(0.4)
        here.media.submit(replace(early, is_early=True))
        await asyncio.sleep(0.1)
        assert station.events == []
        answered_ns = time.monotonic_ns()
        here.media.submit(early)
        lost = await station.told(AudioLost)
        assert lost.at_ns - answered_ns >= 200_000_000, "what was before it does not count"


async def test_a_family_that_has_no_address_is_named() -> None:
    async with room() as here:
        with pytest.raises(NoSuchFamily, match="bind_v6"):
            here.media.open(6, print)


async def test_ports_run_out_with_a_named_error_and_rest_before_they_are_used_again() -> None:
    port = free_ports(4)
    async with room(first_port=port, last_port=port + 3, port_quarantine_seconds=0.3) as here:
        first, _ = here.station(), here.station()
        with pytest.raises(MediaUnavailable, match=f"{port}-{port + 3}"):
            here.station()
        await close(first)
        with pytest.raises(MediaUnavailable):
            here.station()
        await asyncio.sleep(0.4)
        again = here.station()
        assert again.opened.local.port == first.opened.local.port
        assert again.leg != first.leg


async def test_commands_to_a_closed_leg_do_nothing_even_when_its_slot_lives_again() -> None:
    port = free_ports(2)
    async with room(threads=1, first_port=port, last_port=port + 1) as here:
        old = here.station()
        here.media.submit(old.remote())
        await close(old)
        new = here.station()
        here.media.submit(new.remote())
        here.media.submit(old.remote(address=MediaAddress("127.0.0.1", 9)), CloseLeg(old.leg))
        await asyncio.sleep(0.2)
        assert len(new.peer.heard) >= 7
        assert new.events == []


async def test_reports_tell_loss_both_ways() -> None:
    import socket
    import struct

    async with room(rtcp_interval_seconds=0.2) as here:
        station = here.station()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp:
            rtp_port = station.peer.address.port
            rtcp.bind(("127.0.0.1", rtp_port + 1))
            rtcp.settimeout(0)
            here.media.submit(station.remote())
            await station.peer.talk(SILENCE[PCMU], 10)
            station.peer.sequence += 10
            await station.peer.talk(SILENCE[PCMU], 15)
            reports = []
            while True:
                try:
                    reports.append(rtcp.recv(1500))
                except BlockingIOError:
                    break
            last = reports[-1]
            assert (last[0], last[1]) == (0x81, 200), "sender reports with one block"
            (our_ssrc,) = struct.unpack("!I", last[4:8])
            assert our_ssrc == station.peer.heard[0].ssrc
            assert int.from_bytes(last[33:36], "big") == 10
            block = struct.pack("!IIIIII", our_ssrc, 7, 0, 16, 0, 0)
            rtcp.sendto(b"\x81\xc9\x00\x07" + bytes(4) + block, (station.peer.to[0], station.peer.to[1] + 1))
            await asyncio.sleep(0.4)
            counters = await close(station)
            assert (counters["reported_lost"], counters["reported_jitter_us"]) == (7, 2000)
            rtcp.setblocking(True)
            rtcp.settimeout(1)
            while b"\xcb" not in (goodbye := rtcp.recv(1500))[-8:]:
                pass
            assert goodbye[-8:-4] == b"\x81\xcb\x00\x01"


async def test_stopping_closes_every_leg_and_tells_it() -> None:
    async with room() as here:
        stations = [here.station() for _ in range(5)]
        here.media.submit(*(station.remote() for station in stations))
        await asyncio.sleep(0.05)
        await here.media.stop()
        assert all(isinstance(station.events[-1], LegClosed) for station in stations)
        with pytest.raises(MediaUnavailable):
            here.media.open(4, print)
        with pytest.raises(MediaUnavailable):
            here.media.totals()


async def test_a_sink_that_raises_does_not_silence_the_others() -> None:
    async with room() as here:
        told: list[object] = []

        def broken(event: object) -> None:
            raise RuntimeError("a bug")

        bad, good = here.media.open(4, broken), here.media.open(4, told.append)
        here.media.submit(CloseLeg(bad.leg), CloseLeg(good.leg))
        await asyncio.sleep(0.1)
        assert [type(event) for event in told] == [LegClosed]


async def test_two_engines_do_not_share_ports() -> None:
    port = free_ports(4)
    both = {"first_port": port, "last_port": port + 3}
    async with room(**both) as one, room(**both) as two:
        ports = {one.station().opened.local.port, two.station().opened.local.port}
        assert len(ports) == 2


def test_the_far_end_of_these_tests_writes_rtp() -> None:
    peer, other = Peer(), Peer()
    peer.to = (other.address.host, other.address.port)
    peer.send(b"ab", marker=True)
    other.read()
    assert (other.heard[0].marker, other.heard[0].payload) == (True, b"ab")
    peer.socket.close()
    other.socket.close()
