"""SRTP with a far end that is libsrtp: every suite, both directions, reports, replays, forgeries."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from dataclasses import replace

import pytest

from callrouter.ports import (
    AudioLost,
    AudioStarted,
    CloseLeg,
    DigitReceived,
    Join,
    LegClosed,
    Play,
    PlayTone,
    SrtpKeys,
)
from tests.integration.rtp_peer import PCMU, SILENCE, Station, room
from tests.integration.srtp_peer import PROFILES, SecurePeer, keys
from tests.patience import PATIENCE_SECONDS

SUITES = list(PROFILES)


async def close(station: Station) -> dict[str, int]:
    station.media.submit(CloseLeg(station.leg))
    return dict((await station.told(LegClosed)).counters)


@pytest.mark.parametrize("mki", [b"", b"\0\0\0\1"])
@pytest.mark.parametrize("suite", SUITES)
async def test_audio_and_keys_pass_both_ways_in_every_suite(suite: str, mki: bytes) -> None:
    async with room() as here:
        station = here.station()
        secure = SecurePeer(station, replace(keys(suite), send_mki=mki, mki=mki))
        here.media.submit(secure.remote(), Play(station.leg, here.media.token(), (PlayTone("beep"),)))
        await station.peer.talk(SILENCE[PCMU], 60)
        await station.peer.press("5")
        assert (await station.told(DigitReceived)).digit == "5"
        counters = await close(station)
        assert secure.rejected == 0
        assert len(secure.heard) >= 60
        assert any(packet.payload != SILENCE[PCMU] for packet in secure.heard)
        assert counters["packets_in"] == 67, "across the wrap of the sequence numbers"
        assert (counters["bad_tags"], counters["replays"], counters["lost"]) == (0, 0, 0)


@pytest.mark.parametrize("mki", [b"", b"\7"])
@pytest.mark.parametrize("suite", SUITES)
async def test_reports_are_protected_both_ways(suite: str, mki: bytes) -> None:
    async with room(rtcp_interval_seconds=0.2) as here:
        station = here.station()
        secure = SecurePeer(station, replace(keys(suite), send_mki=mki, mki=mki))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp:
            rtcp.bind(("127.0.0.1", station.peer.address.port + 1))
            rtcp.connect((station.peer.to[0], station.peer.to[1] + 1))
            rtcp.setblocking(False)
            here.media.submit(secure.remote())
            await station.peer.talk(SILENCE[PCMU], 10)
            async with asyncio.timeout(PATIENCE_SECONDS):
                sealed = await asyncio.get_running_loop().sock_recv(rtcp, 1500)
            report = secure.open_report(sealed)
            assert report[1] == 200
            ours = report[4:8]
            block = ours + struct.pack("!IIIII", 7, 0, 16, 0, 0)
            answer = secure.seal_report(b"\x81\xc9\x00\x07" + struct.pack("!I", 0x1234) + block)
            rtcp.send(answer)
            rtcp.send(answer)
            rtcp.send(b"\x81\xc9\x00\x07" + bytes(4) + ours + bytes(60))
            await asyncio.sleep(0.1)
            counters = await close(station)
        assert counters["reported_lost"] == 7
        assert (counters["reports_in"], counters["replays"], counters["bad_tags"]) == (1, 1, 1)


async def test_nothing_is_sent_or_taken_in_the_clear_once_keys_are_agreed() -> None:
    async with room() as here:
        station = here.station()
        secure = SecurePeer(station, keys(SUITES[0]))
        here.media.submit(secure.remote())
        station.peer.wire = None
        await station.peer.talk(SILENCE[PCMU], 10)
        await station.peer.press("1")
        await asyncio.sleep(0.05)
        assert station.events == [], "neither audio nor keys"
        counters = await close(station)
        assert secure.rejected == 0
        assert counters["packets_in"] == 0
        assert counters["bad_tags"] + counters["garbage"] == 17


async def test_a_recorded_packet_is_not_accepted_again() -> None:
    async with room() as here:
        station = here.station()
        secure = SecurePeer(station, keys(SUITES[0]))
        here.media.submit(secure.remote())
        sent: list[bytes] = []
        seal = secure.seal

        def noted(packet: bytes) -> bytes:
            sent.append(seal(packet))
            return sent[-1]

        secure.seal = noted  # type: ignore[method-assign]  # what it seals is to be seen
        await station.peer.talk(SILENCE[PCMU], 10)
        for packet in sent:
            station.peer.socket.sendto(packet, station.peer.to)
        await station.peer.talk(SILENCE[PCMU], 2)
        counters = await close(station)
        assert (counters["packets_in"], counters["replays"]) == (12, 10)


async def test_a_stranger_with_forged_packets_is_never_latched_onto() -> None:
    async with room() as here:
        station, stranger = here.station(), here.station()
        secure = SecurePeer(station, keys(SUITES[0]))
        here.media.submit(secure.remote())
        stranger.peer.to = station.peer.to
        await stranger.peer.talk(SILENCE[PCMU] + bytes(10), 30)
        assert stranger.peer.heard == []
        assert not any(isinstance(event, AudioStarted) for event in station.events)
        await station.peer.talk(SILENCE[PCMU], 5)
        await station.told(AudioStarted)
        counters = await close(station)
        assert counters["packets_in"] == 5
        assert counters["bad_tags"] >= 25


async def test_a_hundred_thousand_bad_tags_do_not_end_or_silence_a_call() -> None:
    chance = random.Random(5)
    async with room() as here:
        station = here.station()
        secure = SecurePeer(station, keys(SUITES[0]))
        here.media.submit(secure.remote())
        await station.peer.talk(SILENCE[PCMU], 5)
        header = struct.pack("!BBHII", 128, 0, 0, 0, station.peer.ssrc)
        forged = [header[:2] + chance.randbytes(2) + header[4:] + chance.randbytes(170) for _ in range(200)]
        for turn in range(1000):
            for n in range(100):
                station.peer.socket.sendto(forged[(turn + n) % 200], station.peer.to)
            if turn % 4 == 0:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        before = len(secure.heard)
        await station.peer.talk(SILENCE[PCMU], 20)
        await station.peer.press("9")
        assert (await station.told(DigitReceived)).digit == "9"
        assert len(secure.heard) - before >= 20
        assert not any(isinstance(event, AudioLost) for event in station.events)
        counters = await close(station)
        assert counters["bad_tags"] > 1000
        assert counters["new_streams"] == 1


async def test_a_key_that_is_agreed_anew_is_used_at_once_and_the_same_one_goes_on() -> None:
    async with room() as here:
        station = here.station()
        secure = SecurePeer(station, keys(SUITES[0]))
        here.media.submit(secure.remote())
        await station.peer.talk(SILENCE[PCMU], 5)
        here.media.submit(secure.remote())
        await station.peer.talk(SILENCE[PCMU], 5)
        assert secure.rejected == 0
        renewed = SecurePeer(station, keys(SUITES[1], salt=9))
        here.media.submit(renewed.remote())
        await station.peer.talk(SILENCE[PCMU], 5)
        counters = await close(station)
        assert counters["packets_in"] == 15
        assert len(renewed.heard) >= 4


async def test_a_protected_leg_and_a_clear_one_are_joined() -> None:
    async with room() as here:
        a, b = here.station(), here.station()
        secure = SecurePeer(a, keys("AEAD_AES_256_GCM"))
        here.media.submit(secure.remote())
        here.media.submit(b.remote())
        here.media.submit(Join(a.leg, b.leg))
        await asyncio.sleep(0.05)
        await asyncio.gather(a.peer.talk(b"\x11" * 160, 10), b.peer.talk(b"\x22" * 160, 10))
        await asyncio.sleep(0.05)
        assert sum(packet.payload == b"\x11" * 160 for packet in b.peer.heard) == 10
        assert sum(packet.payload == b"\x22" * 160 for packet in secure.heard) == 10
        assert secure.rejected == 0


async def test_keys_of_the_wrong_length_are_refused_and_never_shown() -> None:
    wrong = SrtpKeys("AES_CM_128_HMAC_SHA1_80", b"secret", b"short")
    assert "secret" not in repr(wrong)
    async with room() as here:
        station = here.station()
        order = station.remote()
        with pytest.raises(ValueError, match="length"):
            here.media.submit(replace(order, audio=replace(order.audio, keys=wrong)))
        with pytest.raises(ValueError, match="ROT13"):
            here.media.submit(replace(order, audio=replace(order.audio, keys=replace(wrong, suite="ROT13"))))


async def test_under_a_new_key_the_far_end_may_go_on_counting_cycles_or_begin_again() -> None:
    """libsrtp does the one where it is given another key, the other where it is begun anew."""
    async with room() as here:
        station = here.station()
        secure = SecurePeer(station, keys(SUITES[0]))
        here.media.submit(secure.remote())
        await station.peer.talk(SILENCE[PCMU], 45)
        assert station.peer.sequence < 100, "the second cycle"
        goes_on = SecurePeer(station, keys(SUITES[0], salt=9))
        for number in (65535, 0):
            goes_on.seal(struct.pack("!BBHII", 128, 0, number, 0, station.peer.ssrc) + bytes(160))
        here.media.submit(goes_on.remote())
        await station.peer.talk(SILENCE[PCMU], 5)
        begins = SecurePeer(station, keys(SUITES[2], salt=11))
        here.media.submit(begins.remote())
        await station.peer.talk(SILENCE[PCMU], 5)
        counters = await close(station)
        assert counters["packets_in"] == 55
        assert (len(goes_on.heard) >= 4, len(begins.heard) >= 4) == (True, True)
        assert counters["bad_tags"] == 0
