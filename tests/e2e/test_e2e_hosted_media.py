"""What two telephones do with each other where a number of this server dials another one of it, which
dials a telephone: no codec between them but their own, and hold and keys from end to end."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.addresses import free_port
from tests.e2e.plain_phone import CODECS, Message, PlainPhone
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.stage import Stage, answer_path, open_stage
from tests.unit.media.sound import channels_of, dtmf, silence, to_mulaw

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
ON_BRIDGE = 'answerOnBridge="true"'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("hosted")
    async with open_stage(folder, sip={"codecs": ["OPUS", "G722", "PCMU", "PCMA"]}) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ring(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Stage, str]]:
    """A server whose carrier is the server itself: +4477009002xx goes out and comes in as +155502xx."""
    port = free_port()
    trunk = {
        "name": "round",
        "gateways": [{"host": "127.0.0.1", "port": port}],
        "numbers": {"rules_out": [{"prefix": "+44770090", "replacement": "+1555"}]},
    }
    listen = [{"host": "127.0.0.1", "port": port, "transport": "udp"}]
    async with open_stage(
        tmp_path_factory.mktemp("ring"), sip={"listen": listen, "trunks": [trunk]}
    ) as opened:
        yield opened, f"127.0.0.1:{port}"


def chain(stage: Stage, callee: PlainPhone, more: str = ON_BRIDGE) -> str:
    """A number whose calls go on to another one of the server, and from there to a telephone."""
    second = stage.number(f"<Dial {more}><Sip>sip:bob@{callee.at}</Sip></Dial>")
    return stage.number(f"<Dial {more}>{second}</Dial>")


async def connected(
    stage: Stage,
    a: PlainPhone,
    b: PlainPhone,
    codecs: tuple[tuple[str, ...], tuple[str, ...]] = (("PCMU",), ("PCMU",)),
    more: str = ON_BRIDGE,
) -> tuple[Message, Message]:
    """The server's last description to each."""
    a.invite(f"sip:{chain(stage, b, more)}@{stage.server.sip}", a.describe(a.audio(codecs=codecs[0])))
    asked = await b.agrees(b.audio(codecs=codecs[1]))
    answered = await a.final()
    assert answered.status == 200
    return answered, asked


def rtp(number: int, payload_type: int, payload: bytes, *, step: int = 160) -> bytes:
    return struct.pack("!BBHII", 0x80, payload_type, number, number * step, 7) + payload


async def speak(
    a: PlainPhone, to: int, payload_type: int, said: list[bytes], *, step: int = 160, seconds: float = 0.005
) -> None:
    for number, payload in enumerate(said):
        a.send("audio", to, rtp(number, payload_type, payload, step=step))
        await asyncio.sleep(seconds)


async def heard(phone: PlainPhone, payload_type: int, count: int, among: Sequence[bytes] = ()) -> list[bytes]:
    """So many payloads that came with a payload type, of those that are looked for."""
    found: list[bytes] = []
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        while len(found) < count:
            datagram = await loop.sock_recv(phone.media["audio"], 2048)
            if datagram[1] & 0x7F == payload_type and (not among or datagram[12:] in among):
                found.append(datagram[12:])
    return found


async def joined(a: PlainPhone, to: int, payload_type: int, b: PlainPhone) -> None:
    """Wait until what `a` says reaches `b` as it is: they are connected some time after the answer."""
    probe = os.urandom(160)
    hearing = asyncio.ensure_future(heard(b, payload_type, 1, [probe]))
    for number in range(200):
        if hearing.done():
            break
        a.send("audio", to, rtp(60_000 + number, payload_type, probe))
        await asyncio.sleep(0.02)
    await hearing


def payload_type(description: Message) -> int:
    return int(description.line("audio").split()[3])


@pytest.mark.parametrize(("codec", "more"), [("PCMA", ""), ("G722", ON_BRIDGE), ("OPUS", ON_BRIDGE)])
async def test_what_both_speak_is_passed_on_as_it_is(stage: Stage, codec: str, more: str) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        answered, asked = await connected(stage, a, b, ((codec,), (codec,)), more)
        named = CODECS[codec][1]
        assert asked.line("audio").index(named) < asked.line("audio").index("PCMU"), "offered first"
        said = [os.urandom(160) for _ in range(40)]
        step = 960 if codec == "OPUS" else 160
        back = payload_type(answered)
        await joined(a, answered.port("audio"), back, b)
        await joined(b, asked.port("audio"), back, a)
        await asyncio.gather(
            speak(a, answered.port("audio"), back, said, step=step),
            speak(b, asked.port("audio"), CODECS[codec][0], said[::-1], step=step),
        )
        await heard(b, CODECS[codec][0], 35, said)
        await heard(a, back, 35, said)
        a.request("BYE")
        await b.asked("BYE")


async def test_who_takes_short_packets_only_gets_no_others(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        a.invite(f"sip:{chain(stage, b)}@{stage.server.sip}", a.describe(a.audio()))
        await b.agrees(b.audio("a=ptime:10", "a=maxptime:10"))
        answered = await a.final()
        said = [os.urandom(1) * 480 for _ in range(20)]
        pieces = {piece for frame in said for piece in (frame[:80], frame[80:160])}
        speaking = asyncio.ensure_future(speak(a, answered.port("audio"), 0, said, step=480, seconds=0.06))
        lengths, found, loop = set(), 0, asyncio.get_running_loop()
        async with asyncio.timeout(10):
            while found < 60:  # of 120; it takes a moment until they are connected
                datagram = await loop.sock_recv(b.media["audio"], 2048)
                lengths.add(len(datagram) - 12)
                found += datagram[12:] in pieces
        await speaking
        assert lengths == {80}
        a.request("BYE")
        await b.asked("BYE")


async def test_a_caller_who_is_answered_on_the_bridge_gets_what_the_callee_speaks(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        answered, _ = await connected(stage, a, b, (("PCMU", "G722", "PCMA"), ("PCMA",)))
        assert "PCMA" in answered.line("audio")
        assert "PCMU" not in answered.line("audio")
        assert "G722" not in answered.line("audio")
        a.request("BYE")
        await b.asked("BYE")


async def test_a_caller_who_changes_codec_in_the_call_is_followed(stage: Stage) -> None:
    """Bit for bit again, once it is the callee's: what is between them changes as well."""
    async with PlainPhone() as a, PlainPhone() as b:
        await connected(stage, a, b, (("PCMU",), ("PCMA",)))
        a.request("INVITE", a.describe(a.audio(codecs=("PCMA",))))
        moved = await a.final()
        assert payload_type(moved) == 8
        await joined(a, moved.port("audio"), 8, b)
        said = [os.urandom(160) for _ in range(20)]
        await speak(a, moved.port("audio"), 8, said)
        await heard(b, 8, 15, said)
        a.request("BYE")
        await b.asked("BYE")


@pytest.mark.parametrize(
    "spelling", ["a=sendonly", "a=inactive", "c=IN IP4 0.0.0.0", "c=IN IP4 0.0.0.0 a=sendonly"]
)
async def test_hold_reaches_the_telephone_at_the_other_end_and_so_does_resume(
    stage: Stage, spelling: str
) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        answered, asked = await connected(stage, a, b)
        ports = {a: answered.port("audio"), b: asked.port("audio")}
        lines = tuple(part.strip() for part in spelling.replace(" a=", "\na=").split("\n"))
        for holder, held in ((a, b), (b, a)):
            holder.request("INVITE", holder.describe(holder.audio(*lines)))
            agreed = await holder.final()
            assert "a=recvonly" in agreed.body or "a=inactive" in agreed.body
            told = await held.agrees(held.audio("a=recvonly"))
            assert "a=sendonly" in told.line("audio")
            assert (agreed.port("audio"), told.port("audio")) == (ports[holder], ports[held]), "kept"
            assert len(await heard(held, 0, 10)) == 10, "silence comes on and on"
            holder.request("INVITE", holder.describe(holder.audio()))
            assert "a=sendrecv" in (await holder.final()).body
            told = await held.agrees(held.audio())
            assert "a=sendrecv" in told.line("audio")
        a.request("BYE")
        await b.asked("BYE")


async def test_who_only_listens_holds_nobody_and_an_update_holds_too(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        answered, asked = await connected(stage, a, b)
        await joined(b, asked.port("audio"), 0, a)
        a.request("INVITE", a.describe(a.audio("a=recvonly")))
        assert "a=sendonly" in (await a.final()).body
        await joined(b, asked.port("audio"), 0, a)
        a.request("UPDATE", a.describe(a.audio("a=sendonly")))
        assert "a=recvonly" in (await a.final("UPDATE")).body
        told = await b.asked()
        assert "a=sendonly" in told.body, "the first it is told of"
        b.answer(told, 488)
        a.request("UPDATE", a.describe(a.audio()))
        assert "a=sendrecv" in (await a.final("UPDATE")).body
        told = await b.agrees(b.audio())
        assert "a=sendrecv" in told.body, "who would not be held is asked again for what holds now"
        await joined(a, answered.port("audio"), 0, b)
        a.request("BYE")
        await b.asked("BYE")


async def test_two_who_hold_each_other_at_once_are_told_491_and_try_again(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        await connected(stage, a, b)
        await asyncio.sleep(0.2)
        a.request("INVITE", a.describe(a.audio("a=sendonly")))
        assert "a=recvonly" in (await a.final()).body
        ours = await b.asked()
        b.request("INVITE", b.describe(b.audio("a=sendonly")))
        assert (await b.final()).status == 491
        b.answer(ours, 491)
        again = await b.agrees(b.audio("a=recvonly"))
        assert "a=sendonly" in again.body, "tried again after a while"
        b.request("INVITE", b.describe(b.audio("a=sendonly")))
        assert "a=inactive" in (await b.final()).body
        await a.agrees(a.audio("a=inactive"))
        for phone, other in ((a, b), (b, a)):
            phone.request("INVITE", phone.describe(phone.audio()))
            assert (await phone.final()).status == 200
            told = await other.agrees(other.audio())
        assert "a=sendrecv" in told.body
        a.request("BYE")
        await b.asked("BYE")


@pytest.mark.parametrize("more", [ON_BRIDGE, ""])
async def test_a_caller_without_a_description_gets_ours_and_answers_it_in_its_ack(
    stage: Stage, more: str
) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        a.late_answer = a.describe(a.audio(codecs=("PCMA",)))
        a.invite(f"sip:{chain(stage, b, more)}@{stage.server.sip}", "")
        asked = await b.agrees(b.audio(codecs=("PCMA",)))
        answered = await a.final()
        assert "PCMA" in answered.line("audio")
        if more:
            assert payload_type(answered) == 8, "what the callee speaks is offered first"
        await joined(a, answered.port("audio"), 8, b)
        await joined(b, asked.port("audio"), 8, a)
        a.request("BYE")
        await b.asked("BYE")


@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)")
async def test_sipp_that_never_offers_holds_the_telephone_at_the_other_end(
    stage: Stage, tmp_path: Path
) -> None:
    async with PlainPhone() as b:
        sipp = Sipp("offers_late", stage.server.sip, tmp_path / "sipp", number=chain(stage, b, ""))
        program = await sipp.start()
        await b.agrees(b.audio())
        told = await b.agrees(b.audio("a=recvonly"))
        assert "a=sendonly" in told.body
        await b.asked("BYE")
        await sipp.finish(program)


@pytest.mark.parametrize("by_caller", [True, False])
async def test_offers_within_the_call_may_come_late_and_move_and_resume_it(
    stage: Stage, by_caller: bool
) -> None:
    async with PlainPhone() as a, PlainPhone() as b, PlainPhone() as elsewhere:
        answered, asked = await connected(stage, a, b)
        one, other = (a, b) if by_caller else (b, a)
        to_one, to_other = (answered, asked) if by_caller else (asked, answered)
        one.request("INVITE", one.describe(one.audio("a=sendonly")))
        await one.final()
        await other.agrees(other.audio("a=recvonly"))
        one.late_answer = one.describe(elsewhere.audio())
        one.request("INVITE")
        offered = await one.final()
        assert (payload_type(offered), offered.port("audio")) == (0, to_one.port("audio"))
        told = await other.agrees(other.audio())
        assert "a=sendrecv" in told.body, "it has said so in its ACK"
        await joined(other, to_other.port("audio"), 0, elsewhere)
        await joined(elsewhere, to_one.port("audio"), 0, other)
        a.request("BYE")
        await b.asked("BYE")


async def test_a_description_beside_others_is_read_for_the_callees_codec_as_well(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        described = a.describe(a.audio(codecs=("PCMU", "PCMA")))
        parts = (
            "application/isup\r\nContent-Disposition: signal;handling=optional\r\n\r\n\x01\r\n",
            f"application/sdp\r\n\r\n{described}\r\n",
        )
        body = "".join(f"--x\r\nContent-Type: {part}" for part in parts) + "--x--\r\n"
        a.invite(f"sip:{chain(stage, b)}@{stage.server.sip}", body, kind="multipart/mixed;boundary=x")
        await b.agrees(b.audio(codecs=("PCMA",)))
        answered = await a.final()
        assert (answered.status, payload_type(answered)) == (200, 8)
        a.request("BYE")
        await b.asked("BYE")


async def test_music_of_who_holds_is_heard_by_who_is_held(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        answered, _ = await connected(stage, a, b)
        await joined(a, answered.port("audio"), 0, b)
        a.request("INVITE", a.describe(a.audio("a=sendonly")))
        await a.final()
        await b.agrees(b.audio("a=recvonly"))
        music = [os.urandom(160) for _ in range(20)]
        await speak(a, answered.port("audio"), 0, music)
        await heard(b, 0, 15, music)
        a.request("BYE")
        await b.asked("BYE")


@pytest.mark.parametrize("way", ["event", "info"])
async def test_keys_reach_the_other_end_as_events(stage: Stage, way: str) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        with_events = ("PCMU", "EVENTS")
        answered, _ = await connected(stage, a, b, (with_events, with_events))
        await joined(a, answered.port("audio"), 0, b)
        for key in (5, 11, 5):
            await press(a, answered.port("audio"), key, way)
        assert await keys_heard(b, 3) == [5, 11, 5]
        a.request("BYE")
        await b.asked("BYE")


@pytest.mark.parametrize("way", ["event", "info", "tone"])
async def test_keys_reach_an_end_that_knows_only_info_as_such(stage: Stage, way: str) -> None:
    async with PlainPhone() as a, PlainPhone(allow="INVITE, ACK, BYE, INFO") as b:
        codecs = ("PCMU", "EVENTS") if way == "event" else ("PCMU",)
        answered, _ = await connected(stage, a, b, (codecs, ("PCMU",)))
        await joined(a, answered.port("audio"), 0, b)
        for key in (5, 11, 5):
            await press(a, answered.port("audio"), key, way)
        for symbol in "5#5":
            info = await b.asked("INFO")
            assert info.get("Content-Type") == "application/dtmf-relay"
            assert info.body.startswith(f"Signal={symbol}\r\nDuration=")
            b.answer(info, 200)
        a.request("BYE")
        await b.asked("BYE")


@pytest.mark.parametrize("way", ["event", "info"])
async def test_a_document_at_the_hosted_number_gathers_keys(stage: Stage, way: str) -> None:
    second = stage.number('<Gather numDigits="3" timeout="20" action="/gathered"/>')
    first = stage.number(f"<Dial>{second}</Dial>")
    stage.documents.on("/gathered", "<Hangup/>")
    async with PlainPhone() as a:
        a.invite(f"sip:{first}@{stage.server.sip}", a.describe(a.audio(codecs=("PCMU", "EVENTS"))))
        answered = await a.final()
        await stage.documents.request(f"/answer/{second.removeprefix('+')}")
        await asyncio.sleep(0.5)
        for key in (1, 2, 3):
            await press(a, answered.port("audio"), key, way)
        assert (await stage.documents.request("/gathered")).form["Digits"] == "123"
        await a.asked("BYE")


async def test_both_sides_of_a_hosted_call_record_it_in_a_codec_that_is_decoded_for_that(
    stage: Stage,
) -> None:
    """The caller's number both ends of the bridge, the number that is called what it hears."""
    second = stage.number(
        '<Say>Say something.</Say><Record playBeep="false" maxLength="2" timeout="3" action="/kept"/>'
    )
    first = stage.number(f'<Dial record="record-from-answer-dual" action="/recorded">{second}</Dial>')
    for path in ("/kept", "/recorded"):
        stage.documents.on(path, "<Hangup/>")
    async with PlainPhone() as a:
        a.invite(f"sip:{first}@{stage.server.sip}", a.describe(a.audio(codecs=("G722",))))
        answered = await a.final()
        noise = [os.urandom(160) for _ in range(250)]
        speaking = asyncio.ensure_future(speak(a, answered.port("audio"), 9, noise, seconds=0.02))
        kept = await stage.documents.request("/kept")
        recorded = await stage.documents.request("/recorded")
        await a.asked("BYE")
        speaking.cancel()
    folder = stage.server.folder / "data" / "recordings" / kept.form["AccountSid"]
    assert kept.form["RecordingDuration"] == "2"
    (heard_by_second,) = channels_of(folder / f"{kept.form['RecordingUrl'].rpartition('/')[2]}.wav")
    caller, callee = channels_of(folder / f"{recorded.form['RecordingSid']}.wav")
    for channel in (heard_by_second, caller, callee):
        assert max(map(abs, channel)) > 2000


async def test_a_sip_address_of_the_server_is_a_number_of_it(stage: Stage) -> None:
    """Nothing goes through the network, so nothing is said of where it came from."""
    second = stage.number("<Say>Here.</Say>")
    first = stage.number(f"<Dial><Sip>sip:{second}@{stage.server.sip}</Sip></Dial>")
    async with PlainPhone() as a:
        a.invite(f"sip:{first}@{stage.server.sip}", a.describe(a.audio()))
        asked = await stage.documents.request(answer_path(second))
        assert (asked.form["To"], asked.form["ForwardedFrom"]) == (second, first)
        assert "SipSourceIp" not in asked.form
        await a.asked("BYE")


async def test_a_call_that_has_come_round_is_refused(ring: tuple[Stage, str]) -> None:
    stage, at = ring
    there = "Diversion: <sip:+4420@c>;reason=no-answer"
    histories = {
        there + ", <sip:{number}@c>;reason=unconditional\r\n": 482,
        "Diversion: <sip:{number}@c>;reason=unconditional\r\n": 200,
        "Callrouter-Chain: 0123456789abcdef\r\n": 200,
        f"Callrouter-Chain: {', '.join(['0123456789abcdef'] * 8)}\r\n": 482,
    }
    number = stage.number("<Pause/>")
    for history, status in histories.items():
        async with PlainPhone() as a:
            more = history.format(number=number)
            a.invite(f"sip:{number}@{at}", a.describe(a.audio()), more)
            assert (await a.final()).status == status, history


async def test_a_call_that_a_carrier_brings_back_ends_there(ring: tuple[Stage, str]) -> None:
    stage, at = ring
    first = stage.number("")
    second = stage.number(f"<Dial>+44770090{first.removeprefix('+1555')}</Dial>")
    there = f"+44770090{second.removeprefix('+1555')}"
    stage.documents.on(answer_path(first), f'<Dial action="/over">{there}</Dial>')
    stage.documents.on("/over", "<Hangup/>")
    async with PlainPhone() as a:
        a.invite(f"sip:{first}@{at}", a.describe(a.audio()))
        over = await stage.documents.request("/over")
        await a.asked("BYE")
        paths = [asked.path for asked in stage.documents.asked]
    assert over.form["DialCallStatus"] == "completed", "the second number was reached"
    assert paths.count(answer_path(first)) == paths.count(answer_path(second)) == 1


_presses = 0


async def press(phone: PlainPhone, to: int, key: int, way: str) -> None:
    global _presses
    if way == "info":
        symbol = "0123456789*#"[key]
        phone.request("INFO", f"Signal={symbol}\r\nDuration=120\r\n", kind="application/dtmf-relay")
        await phone.final("INFO")
        return
    _presses += 1
    if way == "tone":
        said = to_mulaw(dtmf("0123456789*#"[key], 0.12) + silence(0.12))
        for number in range(len(said) // 160):
            frame = said[160 * number : 160 * (number + 1)]
            phone.send("audio", to, rtp(61_000 + _presses * 100 + number, 0, frame))
            await asyncio.sleep(0.02)
        return
    for step in range(1, 8):
        is_end = step > 5
        event = struct.pack("!BBH", key, 0x8A if is_end else 0x0A, min(step, 6) * 160)
        header = struct.pack("!BBHII", 0x80, 101, _presses * 100 + step, _presses * 16_000, 7)
        phone.send("audio", to, header + event)
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)


async def keys_heard(phone: PlainPhone, count: int) -> list[int]:
    """So many keys that came as telephone events, each of which is many packets."""
    keys: list[int] = []
    was_end = True
    while len(keys) < count:
        (payload,) = await heard(phone, 101, 1)
        is_end = bool(payload[1] & 0x80)
        if was_end and not is_end:
            keys.append(payload[0])
        was_end = is_end
    return keys
