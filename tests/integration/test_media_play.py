"""What a leg sends: prompts, tones, keys, silence, at 50 packets a second whatever happens."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

from callrouter.ports import (
    AudioFile,
    CloseLeg,
    DigitReceived,
    DigitsSent,
    Direction,
    FeedDigit,
    LegClosed,
    MediaAddress,
    Play,
    PlayDigits,
    PlayEnd,
    PlayEnded,
    PlayPrompt,
    PlaySilence,
    PlayTone,
    SendDigits,
    StopPlay,
)
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import EVENT, PCMA, PCMU, SILENCE, Peer, Station, room
from tests.unit.media.sound import alaw, mulaw, sine, tone_level, write_wav


def assert_steady(peer: Peer) -> None:
    """Numbers without a gap, timestamps 160 apart, and no gap in time that could be heard."""
    for before, after in pairwise(peer.heard):
        assert after.sequence == (before.sequence + 1) % 2**16
        assert after.ssrc == before.ssrc
        if before.payload_type != EVENT and after.payload_type != EVENT:
            assert (after.timestamp - before.timestamp) % 2**32 == 160
    spans = [after.at - before.at for before, after in pairwise(peer.heard)]
    assert max(spans) < 0.1
    assert abs(sum(spans) / len(spans) - 0.02) < 0.001


def keys_sent(peer: Peer) -> str:
    """Keys by the timestamps of their packets; each must have its three ends."""
    presses: dict[int, list[bytes]] = {}
    for packet in peer.heard:
        if packet.payload_type == EVENT:
            presses.setdefault(packet.timestamp, []).append(packet.payload)
    for packets in presses.values():
        assert [bool(payload[1] & 128) for payload in packets] == [False] * 4 + [True] * 3
        assert [int.from_bytes(payload[2:], "big") for payload in packets] == [
            160,
            320,
            480,
            640,
            800,
            800,
            800,
        ]
    return "".join("0123456789*#ABCD"[packets[0][0]] for packets in presses.values())


async def tone_prompt(station: Station, folder: Path, seconds: float = 0.5) -> PlayPrompt:
    path = write_wav(folder / "tone.wav", sine(440, seconds))
    return PlayPrompt(await station.media.prompt(AudioFile(path, "audio/wav", f"tone-{seconds}")))


@in_real_time
async def test_a_leg_sends_silence_from_set_remote_to_close_and_nothing_before() -> None:
    async with room() as here:
        station = here.station()
        await asyncio.sleep(0.1)
        assert station.peer.heard == []
        here.media.submit(station.remote("PCMA"))
        await asyncio.sleep(1.0)
        here.media.submit(CloseLeg(station.leg))
        closed = await station.told(LegClosed)
        await asyncio.sleep(0.05)
        count = len(station.peer.heard)
        await asyncio.sleep(0.1)
        assert len(station.peer.heard) == count == closed.counters["packets_out"]
        assert 48 <= count <= 53
        assert {(p.payload_type, p.payload) for p in station.peer.heard} == {(PCMA, SILENCE[PCMA])}
        assert [p.marker for p in station.peer.heard] == [True] + [False] * (count - 1)
        assert_steady(station.peer)


@in_real_time
async def test_a_prompt_is_heard_to_the_sample_in_either_law(tmp_path: Path) -> None:
    async with room() as here:
        for codec, decode in (("PCMU", mulaw), ("PCMA", alaw)):
            station = here.station()
            prompt = await tone_prompt(station, tmp_path)
            token = here.media.token()
            here.media.submit(
                station.remote(codec), Play(station.leg, token, (prompt, PlaySilence(60), prompt))
            )
            ended = await station.told(PlayEnded)
            assert (ended.token, ended.reason, ended.played_ms) == (token, PlayEnd.FINISHED, 1060)
            heard = [decode(word) for word in station.peer.audio()]
            said = list(sine(440, 0.5))
            wanted = said + [0] * 480 + said
            error = max(abs(a - b) for a, b in zip(heard, wanted, strict=False) if abs(b) > 0)
            assert error <= 260, "half a step of the highest segment used"
            assert len(heard) >= len(wanted)
            assert_steady(station.peer)


@in_real_time
async def test_events_carry_the_clock_of_python(tmp_path: Path) -> None:
    from time import monotonic_ns

    async with room() as here:
        station = here.station()
        before = monotonic_ns()
        here.media.submit(station.remote(), Play(station.leg, here.media.token(), (PlaySilence(100),)))
        ended = await station.told(PlayEnded)
        assert before + 90_000_000 < ended.at_ns <= monotonic_ns()


@in_real_time
async def test_a_play_is_replaced_stopped_and_closed_with_its_reason() -> None:
    async with room() as here:
        station = here.station()
        tokens = [here.media.token() for _ in range(3)]
        ring = (PlayTone("ringback-us"),)
        here.media.submit(station.remote(), Play(station.leg, tokens[0], ring))
        await asyncio.sleep(0.1)
        here.media.submit(Play(station.leg, tokens[1], ring))
        await asyncio.sleep(0.1)
        here.media.submit(StopPlay(station.leg), Play(station.leg, tokens[2], ring))
        await asyncio.sleep(0.1)
        here.media.submit(CloseLeg(station.leg))
        await station.told(LegClosed)
        ends = [event for event in station.events if isinstance(event, PlayEnded)]
        assert [(e.token, e.reason) for e in ends] == list(
            zip(tokens, (PlayEnd.REPLACED, PlayEnd.STOPPED, PlayEnd.CLOSED), strict=True)
        )
        assert all(80 <= e.played_ms <= 140 for e in ends)
        assert isinstance(station.events[-1], LegClosed)


async def test_zero_loops_repeat_without_a_seam_until_stopped(tmp_path: Path) -> None:
    async with room() as here:
        station = here.station()
        prompt = await tone_prompt(station, tmp_path, 0.1)  # 44 whole turns
        here.media.submit(station.remote(), Play(station.leg, here.media.token(), (prompt,), loops=0))
        await asyncio.sleep(0.6)
        here.media.submit(StopPlay(station.leg))
        await station.told(PlayEnded)
        heard = [mulaw(word) for word in station.peer.audio()[:4000]]
        said = list(sine(440, 0.1)) * 5
        assert max(abs(a - b) for a, b in zip(heard, said, strict=True)) <= 260


@in_real_time
async def test_a_stop_digit_ends_the_play_when_it_goes_down_and_is_reported_as_well(tmp_path: Path) -> None:
    async with room() as here:
        station = here.station()
        prompt = await tone_prompt(station, tmp_path, 3.0)
        here.media.submit(
            station.remote(), Play(station.leg, here.media.token(), (prompt,), stop_digits="1#")
        )
        await asyncio.sleep(0.1)
        await station.peer.press("5")
        await station.peer.press("#")
        ended = await station.told(PlayEnded)
        digits = [await station.told(DigitReceived, n) for n in (1, 2)]
        assert (ended.reason, ended.digit) == (PlayEnd.DIGIT, "#")
        assert 200 <= ended.played_ms <= 400
        assert [(d.digit, d.duration_ms) for d in digits] == [("5", 100), ("#", 100)]
        assert ended.at_ns < digits[1].at_ns
        assert_steady(station.peer)


async def test_a_digit_fed_by_signalling_acts_like_one_that_was_heard() -> None:
    async with room() as here:
        station = here.station()
        token = here.media.token()
        here.media.submit(
            station.remote(), Play(station.leg, token, (PlayTone("ringback-de"),), stop_digits="a")
        )
        here.media.submit(FeedDigit(station.leg, "a", 250))
        assert (await station.told(PlayEnded)).digit == "A"
        digit = await station.told(DigitReceived)
        assert (digit.digit, digit.duration_ms) == ("A", 250)


@in_real_time
async def test_played_digits_go_out_as_events_with_their_pauses() -> None:
    async with room() as here:
        station = here.station()
        items = (PlaySilence(50), PlayDigits("1w#"))
        here.media.submit(station.remote(), Play(station.leg, here.media.token(), items))
        ended = await station.told(PlayEnded)
        assert keys_sent(station.peer) == "1#"
        assert ended.played_ms == 50 + 200 + 500 + 200
        assert_steady(station.peer)


@in_real_time
async def test_digits_sent_over_a_play_are_told_of_and_the_play_goes_on() -> None:
    async with room() as here:
        station = here.station()
        token = here.media.token()
        here.media.submit(
            station.remote(),
            Play(station.leg, here.media.token(), (PlayTone("ringback-us"),)),
            SendDigits(station.leg, token, "42"),
        )
        assert (await station.told(DigitsSent)).token == token
        await asyncio.sleep(0.2)
        assert keys_sent(station.peer) == "42"
        assert len({p.payload for p in station.peer.heard[-5:]}) > 1, "ringing again"
        assert_steady(station.peer)


async def test_a_far_end_without_telephone_events_hears_the_keys() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(
            station.remote(events=None), Play(station.leg, here.media.token(), (PlayDigits("5"),))
        )
        await station.told(PlayEnded)
        heard = [mulaw(word) for word in station.peer.audio()[:800]]
        assert tone_level(heard, 770) > 4000
        assert tone_level(heard, 1336) > 4000
        assert tone_level(heard, 941) < 500


@in_real_time
async def test_the_ringing_tone_is_the_countrys() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote(), Play(station.leg, here.media.token(), (PlayTone("ringback-fr"),)))
        await asyncio.sleep(0.6)
        heard = [mulaw(word) for word in station.peer.audio()[:4000]]
        assert tone_level(heard, 440) > 3000
        assert tone_level(heard, 425) < 500


@in_real_time
async def test_nothing_is_sent_while_the_direction_forbids_it_and_play_time_goes_on() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(
            station.remote(direction=Direction.RECVONLY),
            Play(station.leg, here.media.token(), (PlaySilence(200),)),
        )
        assert (await station.told(PlayEnded)).played_ms == 200
        assert station.peer.heard == []
        here.media.submit(station.remote(direction=Direction.INACTIVE))
        await asyncio.sleep(0.1)
        assert station.peer.heard == []
        here.media.submit(station.remote(direction=Direction.SENDONLY))
        await asyncio.sleep(0.2)
        assert 8 <= len(station.peer.heard) <= 11
        assert station.peer.heard[0].marker


@in_real_time
async def test_a_new_address_takes_over_and_the_stream_goes_on() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        await asyncio.sleep(0.2)
        other = here.station().peer
        here.media.submit(station.remote(address=other.address))
        await asyncio.sleep(0.2)
        count = len(station.peer.heard)
        await asyncio.sleep(0.1)
        assert len(station.peer.heard) == count
        assert other.heard[0].ssrc == station.peer.heard[-1].ssrc
        assert other.heard[0].sequence == (station.peer.heard[-1].sequence + 1) % 2**16


async def test_the_blackhole_address_is_never_sent_to() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote(address=MediaAddress("0.0.0.0", station.peer.address.port)))
        await asyncio.sleep(0.2)
        assert station.peer.heard == []
        assert here.media.totals().counts["send_errors"] == 0


@in_real_time
async def test_a_leg_of_ipv6_speaks_ipv6() -> None:
    async with room(bind_v6="::1") as here:
        station = here.station(family=6)
        here.media.submit(station.remote())
        await asyncio.sleep(0.2)
        assert station.opened.local.host == "::1"
        assert len(station.peer.heard) >= 8
        assert {p.payload_type for p in station.peer.heard} == {PCMU}
