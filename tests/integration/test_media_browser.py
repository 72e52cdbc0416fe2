"""Legs to browsers, with aiortc at the other end: audio both ways, both parts in the handshake, and
whoever is not the browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from aioice import stun

from callrouter.ids import RandomIds
from callrouter.ports import (
    AudioStarted,
    CloseLeg,
    DigitReceived,
    LegClosed,
    NegotiatedAudio,
    NotSecured,
    Play,
    PlayTone,
    Secured,
    SetRemote,
)
from callrouter.sip.protocol.stream import Stream
from tests.integration.browser_end import BrowserEnd, browser_end
from tests.integration.rtp_peer import Room, Station, room

BEEP = PlayTone("beep")
HERTZ = 1000


@dataclass(frozen=True, slots=True)
class Call:
    """A leg and the browser it talks with."""

    here: Room
    station: Station
    stream: Stream
    browser: BrowserEnd

    def connect(self, audio: NegotiatedAudio | None = None) -> NegotiatedAudio:
        audio = audio or self.stream.audio
        assert audio is not None
        self.here.media.submit(SetRemote(self.station.leg, audio))
        return audio

    async def counters(self) -> dict[str, int]:
        self.here.media.submit(CloseLeg(self.station.leg))
        return dict((await self.station.told(LegClosed)).counters)


@asynccontextmanager
async def call(*codecs: str) -> AsyncIterator[Call]:
    async with room() as here, browser_end() as browser:
        station = here.station()
        codecs = codecs or ("PCMU", "PCMA")
        stream = Stream(codecs, RandomIds().token, fingerprint=here.media.fingerprint)
        yield Call(here, station, stream, browser)


async def answered(made: Call) -> None:
    """The browser calls."""
    made.stream.agreed = made.stream.read(await made.browser.offer())
    answer = made.stream.first_answer(made.station.opened.local)
    made.connect()
    await made.browser.take_answer(answer)


async def placed(made: Call) -> None:
    """The browser is called."""
    made.stream.offer_to_browser()
    offer = made.stream.first_offer(made.station.opened.local)
    made.stream.agreed = made.stream.read(await made.browser.answer(offer), is_answer=True)
    made.connect()


@pytest.mark.parametrize("begin", [answered, placed])
@pytest.mark.parametrize("codec", ["PCMU", "OPUS"])
async def test_audio_and_keys_pass_both_ways(begin: object, codec: str) -> None:
    """A call from the browser has us begin the handshake, a call to it the browser."""
    async with call(codec) as made:
        await (answered if begin is answered else placed)(made)
        audio = made.stream.audio
        assert audio is not None
        assert audio.browser is not None
        assert (audio.codec, audio.browser.is_client) == (codec, begin is answered)
        await made.browser.until("connected")
        await made.station.told(Secured)
        made.here.media.submit(Play(made.station.leg, made.here.media.token(), (BEEP,), loops=0))
        await made.browser.until_hears(HERTZ)
        made.browser.press("5")
        assert (await made.station.told(DigitReceived)).digit == "5"
        await made.station.told(AudioStarted)
        counters = await made.counters()
        assert counters["packets_in"] > 20
        assert counters["checks"] > 0
        assert [counters[name] for name in ("bad_tags", "strangers", "stun", "garbage")] == [0, 0, 0, 0]


async def test_a_certificate_that_was_not_announced_gets_no_audio_and_says_so() -> None:
    async with call() as made:
        made.stream.agreed = made.stream.read(await made.browser.offer())
        audio = made.stream.audio
        assert audio is not None
        assert audio.browser is not None
        made.connect(replace(audio, browser=replace(audio.browser, digest=bytes(len(audio.browser.digest)))))
        await made.browser.take_answer(made.stream.first_answer(made.station.opened.local))
        made.browser.sing(600, 1)
        assert (await made.station.told(NotSecured)).reason == "wrong-certificate"
        await asyncio.sleep(0.2)
        counters = await made.counters()
        assert (counters["packets_in"], counters["packets_out"]) == (0, 0)
        assert not any(isinstance(event, AudioStarted | Secured) for event in made.station.events)
        assert made.browser.connection.connectionState != "connected"


async def test_a_browser_that_closes_its_connection_is_told_of_at_once() -> None:
    """By its close_notify, and not 30 s later, when it has no more asked to be sent to."""
    async with call() as made:
        await answered(made)
        await made.station.told(Secured)
        await made.browser.close()
        assert (await made.station.told(NotSecured)).reason == "closed"


async def test_who_does_not_know_the_password_is_not_answered_and_not_sent_to() -> None:
    async with call() as made:
        made.stream.agreed = made.stream.read(await made.browser.offer())
        audio = made.stream.audio
        assert audio is not None
        assert audio.browser is not None
        made.connect(replace(audio, browser=replace(audio.browser, local_password="another" * 4)))
        await made.browser.take_answer(made.stream.first_answer(made.station.opened.local))
        await asyncio.sleep(1)
        assert made.browser.connection.iceConnectionState != "completed"
        counters = await made.counters()
        assert counters["stun"] > 0
        assert [counters[name] for name in ("checks", "packets_out", "reports_out")] == [0, 0, 0]


def check(username: str, number: int) -> bytes:
    """A connectivity check as RFC 8445 §7.1.1 has it, keyed with a password that is guessed."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, number.to_bytes(12, "big"))
    message.attributes |= {"USERNAME": username, "PRIORITY": 1, "ICE-CONTROLLING": 1, "USE-CANDIDATE": None}
    message.add_message_integrity(b"guessed" * 4)
    return bytes(message)


CLIENT_HELLO = bytes.fromhex(
    "16fefd0000000000000000003c010000300000000000000030fefd" + "00" * 32 + "0000000200ff01000004" + "00000000"
)
"""Of a stranger whose only cipher suite is none (RFC 5246 §A.5)."""


async def test_strangers_do_not_disturb_a_call() -> None:
    """Checks with wrong passwords, a ClientHello, forged audio and noise from another address, and a
    flood of all of them: counted, answered with nothing, and the browser hears no gap."""
    async with call() as made:
        await answered(made)
        await made.station.told(Secured)
        made.here.media.submit(Play(made.station.leg, made.here.media.token(), (BEEP,), loops=0))
        await made.browser.until_hears(HERTZ)
        audio = made.stream.audio
        assert audio is not None
        assert audio.browser is not None
        name = f"{audio.browser.local_ufrag}:{audio.browser.remote_ufrag}"
        stranger, strange = made.station.peer, [CLIENT_HELLO, bytes(200), b"\x80\x00" + bytes(170)]
        for number in range(250):
            for datagram in [check(name, number), *strange]:
                stranger.socket.sendto(datagram, stranger.to)
            await asyncio.sleep(0.002)
        assert made.browser.hears(HERTZ)
        counters = await made.counters()
        assert stranger.heard == [], "nothing was ever said to the stranger"
        assert not any(isinstance(event, NotSecured) for event in made.station.events)
        assert [name for name in ("stun", "handshake_strangers", "strangers") if not counters[name]] == []


async def test_a_browser_holds_and_comes_back() -> None:
    """Later offers with nothing new but the direction: the handshake and the keys stay."""
    async with call() as made:
        await answered(made)
        await made.station.told(Secured)
        made.here.media.submit(Play(made.station.leg, made.here.media.token(), (BEEP,), loops=0))
        await made.browser.until_hears(HERTZ)
        for direction in ("sendonly", "sendrecv"):
            made.browser.connection.getTransceivers()[0].direction = direction
            made.stream.agreed = made.stream.read(await made.browser.offer())
            answer = made.stream.next_answer()
            assert (b"a=recvonly" in answer) is (direction == "sendonly")
            made.connect()
            await made.browser.take_answer(answer)
            await asyncio.sleep(0.3)
            heard = len(made.browser.heard)
            await asyncio.sleep(0.3)
            assert (len(made.browser.heard) == heard) is (direction == "sendonly")
        await made.browser.until_hears(HERTZ)
        assert sum(isinstance(event, Secured) for event in made.station.events) == 1


async def test_the_browser_moves_and_the_audio_follows_its_checks() -> None:
    """A later offer, with ICE begun anew and another certificate, as when a page was loaded again."""
    async with call() as made, browser_end() as other:
        await answered(made)
        await made.station.told(Secured)
        made.here.media.submit(Play(made.station.leg, made.here.media.token(), (BEEP,), loops=0))
        await made.browser.until_hears(HERTZ)
        before = made.stream.audio
        made.stream.agreed = made.stream.read(await other.offer())
        after = made.stream.audio
        assert before is not None
        assert after is not None
        assert before.browser is not None
        assert after.browser is not None
        assert after.browser.local_password != before.browser.local_password
        answer = made.stream.next_answer()
        made.connect()
        await other.take_answer(answer)
        await made.station.told(Secured, 2)
        await other.until_hears(HERTZ)
