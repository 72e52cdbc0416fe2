"""Video and T.38 through the whole server: passed on unread while two parties are connected, declined
while a document runs."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from pylibsrtp import Policy, Session

from tests.e2e.addresses import free_port
from tests.e2e.plain_phone import Message, PlainPhone
from tests.e2e.stage import Stage, open_stage

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("video")
    async with open_stage(folder) as opened:
        yield opened


def rtp(number: int) -> bytes:
    return struct.pack("!BBHII", 0x80, 97, number, number * 3000, 7) + os.urandom(1100)


def dial(callee: PlainPhone, more: str = "") -> str:
    after = '<Say>That was it. Goodbye now.</Say><Pause length="5"/>'
    return f"<Dial {more}><Sip>sip:bob@{callee.at}</Sip></Dial>{after}"


async def connected(
    stage: Stage, a: PlainPhone, b: PlainPhone, *, video: bool = True, at: str = ""
) -> tuple[Message, Message]:
    """A call whose caller is answered when the callee is; the server's two descriptions."""
    number = stage.number(dial(b, 'answerOnBridge="true"'))
    lines = (a.audio(), a.video()) if video else (a.audio(),)
    a.invite(f"sip:{number}@{at or stage.server.sip}", a.describe(*lines))
    asked = await b.asked()
    b.answer(asked, 200, b.describe(b.audio(), *([b.video()] if asked.port("video") > 0 else [])))
    await b.asked("ACK")
    answered = await a.final()
    assert answered.status == 200
    return answered, asked


async def assert_passes(a: PlainPhone, to_a: int, b: PlainPhone, to_b: int, kind: str = "video") -> None:
    """Datagrams arrive as they are, both ways: `a` sends to the server's port `to_a`.  They are joined
    some time after the answer."""
    for sender, to, receiver in ((a, to_a, b), (b, to_b, a)):
        while receiver.is_quiet(kind):
            sender.send(kind, to, b"probe")
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.1)
    for phone in (a, b):
        while not phone.is_quiet(kind):
            pass
    there = [rtp(n) if kind == "video" else struct.pack("!H", n) + os.urandom(60) for n in range(30)]
    back = [
        datagram[:2] + datagram[2:][::-1] if kind == "image" else rtp(n) for n, datagram in enumerate(there)
    ]
    for datagram in there:
        a.send(kind, to_a, datagram)
    for datagram in back:
        b.send(kind, to_b, datagram)
    assert await b.heard(kind, len(there)) == there
    assert await a.heard(kind, len(back)) == back


async def test_video_offered_with_the_call_reaches_the_callee_and_its_answer_comes_back(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        answered, asked = await connected(stage, a, b)
        assert asked.kinds() == ["audio", "video"]
        for text in (
            "RTP/AVPF 97",
            "a=fmtp:97 profile-level-id=42801F",
            "a=rtcp-fb:97 nack pli",
            "b=AS:1024",
        ):
            assert text in asked.line("video")
            assert text in answered.line("video")
        for text in ("candidate", "a=rtcp:", "192.0.2.9"):
            assert text not in asked.body + answered.body
        await assert_passes(a, answered.port("video"), b, asked.port("video"))
        report = b"\x80\xc8\x00\x06" + os.urandom(24)
        a.send("video-rtcp", answered.port("video") + 1, report)
        assert await b.heard("video-rtcp") == [report]
        a.request("BYE")
        await b.asked("BYE")


async def test_a_caller_who_was_answered_before_is_offered_what_the_callee_accepted(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        number = stage.number(dial(b))
        a.invite(f"sip:{number}@{stage.server.sip}", a.describe(a.audio(), a.video()))
        first = await a.final()
        assert first.port("video") == 0, "a document runs"
        asked = await b.agrees(b.audio(), b.video())
        again = await a.agrees(a.audio(), a.video())
        assert again.port("audio") == first.port("audio"), "audio keeps its address"
        await assert_passes(a, again.port("video"), b, asked.port("video"))
        b.request("BYE")
        last = await a.agrees(a.audio(), a.video(on=False))
        assert last.port("video") == 0, "the document goes on"
        assert last.port("audio") == first.port("audio")
        a.request("BYE")
        await a.final("BYE")


@pytest.mark.parametrize("accepts", [True, False])
async def test_a_callee_without_video_leaves_it_off_for_the_caller(stage: Stage, accepts: bool) -> None:
    """Port 0 is answered with port 0; and a caller who refuses it then, too, ends it for the callee."""
    async with PlainPhone() as a, PlainPhone() as b:
        number = stage.number(dial(b, 'answerOnBridge="true"' if not accepts else ""))
        a.invite(f"sip:{number}@{stage.server.sip}", a.describe(a.audio(), a.video()))
        asked = await b.agrees(b.audio(), b.video(on=accepts))
        assert (await a.final()).port("video") == 0
        if accepts:
            a.answer(await a.asked(), 488)
            withdrawn = await b.agrees(b.audio(), b.video(on=False))
            assert withdrawn.port("video") == 0
            assert withdrawn.port("audio") == asked.port("audio")
        a.request("BYE")
        await b.asked("BYE")


async def test_video_is_added_and_removed_in_the_middle_of_a_call(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        answered, asked = await connected(stage, a, b, video=False)
        b.request("INVITE", b.describe(b.audio(), b.video()))
        to_a = await a.agrees(a.audio(), a.video())
        assert to_a.port("audio") == answered.port("audio")
        to_b = await b.final()
        assert to_b.status == 200
        await assert_passes(a, to_a.port("video"), b, to_b.port("video"))
        a.request("UPDATE", a.describe(a.audio(), a.video(on=False)))
        off = await b.agrees(b.audio(), b.video(on=False))
        assert off.port("video") == 0
        over = await a.final("UPDATE")
        assert (over.status, over.port("video"), over.port("audio")) == (200, 0, answered.port("audio"))
        assert off.port("audio") == asked.port("audio")
        a.request("BYE")
        await b.asked("BYE")


@pytest.mark.parametrize("replaces", [True, False])
async def test_a_call_turns_into_a_fax_and_back(stage: Stage, replaces: bool) -> None:
    """The fax takes the place of the audio's line, or a line of its own beside audio that is off."""
    async with PlainPhone() as a, PlainPhone() as b:
        answered, asked = await connected(stage, a, b, video=False)

        def fax(phone: PlainPhone) -> str:
            return phone.describe(*([] if replaces else [phone.audio(on=False)]), phone.fax())

        def voice(phone: PlainPhone) -> str:
            return phone.describe(phone.audio(), *([] if replaces else [phone.fax(on=False)]))

        b.request("INVITE", fax(b))
        to_a = await a.asked()
        assert to_a.kinds() == (["image"] if replaces else ["audio", "image"])
        assert to_a.port("audio") == (-1 if replaces else 0)
        assert " udptl t38" in to_a.line("image")
        assert "a=T38FaxTranscodingMMR\r\n" in to_a.line("image")
        a.answer(to_a, 200, fax(a))
        to_b = await b.final()
        assert to_b.status == 200
        await assert_passes(a, to_a.port("image"), b, to_b.port("image"), "image")
        b.request("INVITE", voice(b))
        back = await a.asked()
        assert back.port("audio") == answered.port("audio")
        assert back.port("image") == (-1 if replaces else 0)
        a.answer(back, 200, voice(a))
        assert (await b.final()).port("audio") == asked.port("audio")
        a.request("BYE")
        await b.asked("BYE")


@pytest.mark.parametrize("status", [488, 606])
async def test_a_refused_fax_leaves_the_call_as_it_was(stage: Stage, status: int) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        _, asked = await connected(stage, a, b, video=False)
        b.request("INVITE", b.describe(b.fax()))
        a.answer(await a.asked(), status)
        assert (await b.final()).status == status
        b.request("INVITE", b.describe(b.audio()))
        again = await b.final()
        assert (again.status, again.port("audio")) == (200, asked.port("audio"))
        a.request("BYE")
        await b.asked("BYE")


async def test_two_who_want_something_at_once_are_both_told_to_wait(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        await connected(stage, a, b, video=False)
        b.request("INVITE", b.describe(b.audio(), b.video()))
        to_a = await a.asked()
        a.request("INVITE", a.describe(a.audio(), a.video()))
        assert (await a.final()).status == 491
        a.answer(to_a, 491)
        assert (await b.final()).status == 491
        a.request("INVITE", a.describe(a.audio(), a.video()))
        await b.agrees(b.audio(), b.video())
        assert (await a.final()).port("video") > 0
        a.request("BYE")
        await b.asked("BYE")


@pytest.mark.parametrize("crosses", [False, True])
async def test_a_cancel_reaches_the_other_end_and_who_had_answered_is_put_back(
    stage: Stage, crosses: bool
) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        await connected(stage, a, b, video=False)
        a.request("INVITE", a.describe(a.audio(), a.video()))
        to_b = await b.asked()
        b.answer(to_b, 100)
        await asyncio.sleep(0.1)
        a.cancel()
        assert (await a.final("CANCEL")).status == 200
        assert (await a.final()).status == 487
        cancelled = await b.asked("CANCEL")
        assert cancelled.get("CSeq").split()[0] == to_b.get("CSeq").split()[0]
        a.request("INVITE", a.describe(a.audio(), a.video()))
        assert (await a.final()).status == 491, "the other end has not said yet that it is over"
        b.answer(cancelled, 200)
        if crosses:
            b.answer(to_b, 200, b.describe(b.audio(), b.video()))
            back = await b.agrees(b.audio(), b.video(on=False))
            assert back.port("video") == 0
            assert back.port("audio") == to_b.port("audio")
        else:
            b.answer(to_b, 487)
        await asyncio.sleep(0.1)
        a.request("INVITE", a.describe(a.audio(), a.video()))
        to_b = await b.agrees(b.audio(), b.video())
        to_a = await a.final()
        await assert_passes(a, to_a.port("video"), b, to_b.port("video"))
        a.request("BYE")
        await b.asked("BYE")


async def test_who_does_not_go_back_from_a_fax_that_was_taken_back_is_hung_up(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        await connected(stage, a, b, video=False)
        a.request("INVITE", a.describe(a.fax()))
        to_b = await b.asked()
        a.cancel()
        assert (await a.final()).status == 487
        b.answer(to_b, 200, b.describe(b.fax()))
        back = await b.asked()
        assert back.port("audio") > 0
        b.answer(back, 488)
        assert "fax" in (await b.asked("BYE")).get("Reason")
        a.request("BYE")
        await a.final("BYE")


async def test_a_document_after_a_fax_says_nothing_until_there_is_audio_again(stage: Stage) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        answered, _ = await connected(stage, a, b, video=False)
        b.request("INVITE", b.describe(b.fax()))
        await a.agrees(a.fax())
        await b.final()
        b.request("BYE")
        back = await a.asked()
        while not a.is_quiet("audio"):
            pass
        await asyncio.sleep(0.7)
        assert a.is_quiet("audio"), "nobody listens yet"
        a.answer(back, 200, a.describe(a.audio()))
        first = [packet[12:] for packet in await a.heard("audio", 50)]
        assert back.port("audio") == answered.port("audio")
        assert any(len(set(payload)) > 20 for payload in first), "it begins now"
        a.request("BYE")
        await a.final("BYE")


@pytest.mark.parametrize("has_video", [True, False])
async def test_who_takes_the_place_of_a_party_is_shown_the_pictures_of_the_other(
    stage: Stage, has_video: bool
) -> None:
    async with PlainPhone() as a, PlainPhone() as b, PlainPhone() as c:
        answered, asked = await connected(stage, a, b)
        lines = (c.audio(), c.video()) if has_video else (c.audio(),)
        c.invite(f"sip:anybody@{stage.server.sip}", c.describe(*lines), f"Replaces: {a.named}\r\n")
        taken = await c.final()
        assert (taken.status, taken.port("audio")) == (200, answered.port("audio"))
        await a.asked("BYE")
        if has_video:
            offered = await c.agrees(c.audio(), c.video())
            assert offered.kinds() == ["audio", "video"]
            await assert_passes(c, offered.port("video"), b, asked.port("video"))
        else:
            c.answer(await c.asked(), 488)
            withdrawn = await b.agrees(b.audio(), b.video(on=False))
            assert withdrawn.port("video") == 0
        c.request("BYE")
        await b.asked("BYE")


async def test_protected_pictures_are_opened_with_the_key_of_who_sent_them_and_no_other(stage: Stage) -> None:
    """Each end's own key stands in what the other one is shown: nobody on the way has one."""
    keys = [base64.b64encode(os.urandom(30)).decode() for _ in range(2)]
    async with PlainPhone() as a, PlainPhone() as b:
        number = stage.number(dial(b, 'answerOnBridge="true"'))

        def protected(phone: PlainPhone, key: str) -> str:
            crypto = f"crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}"
            return phone.describe(phone.audio(), phone.video(crypto, profile="RTP/SAVPF"))

        a.invite(f"sip:{number}@{stage.server.sip}", protected(a, keys[0]))
        asked = await b.asked()
        b.answer(asked, 200, protected(b, keys[1]))
        answered = await a.final()
        await asyncio.sleep(0.1)
        for sender, receiver, to, shown, own in (
            (a, b, answered.port("video"), asked, keys[0]),
            (b, a, asked.port("video"), answered, keys[1]),
        ):
            assert "RTP/SAVPF" in shown.line("video")
            assert re.findall(r"inline:(\S+)", shown.body) == [own], "of the pictures alone, and unchanged"
            pictures = [rtp(n) for n in range(20)]
            seal, opener = keyed(own), keyed(own, is_receiver=True)
            for picture in pictures:
                sender.send("video", to, seal.protect(picture))
            assert [opener.unprotect(d) for d in await receiver.heard("video", 20)] == pictures
        a.request("BYE")
        await b.asked("BYE")


def keyed(key: str, *, is_receiver: bool = False) -> Session:
    """Of libsrtp, with one end's key."""
    direction = Policy.SSRC_ANY_INBOUND if is_receiver else Policy.SSRC_ANY_OUTBOUND
    return Session(Policy(key=base64.b64decode(key), ssrc_type=direction))


@pytest.mark.parametrize("more", ['answerOnBridge="true"', ""])
async def test_pictures_pass_through_numbers_that_dial_each_other(stage: Stage, more: str) -> None:
    async with PlainPhone() as a, PlainPhone() as b:
        second = stage.number(f"<Dial {more}><Sip>sip:bob@{b.at}</Sip></Dial>")
        first = stage.number(f"<Dial {more}>{second}</Dial>")
        a.invite(f"sip:{first}@{stage.server.sip}", a.describe(a.audio(), a.video()))
        asked = await b.agrees(b.audio(), b.video())
        shown = await a.final()
        if not more:
            assert shown.port("video") == 0, "a document runs"
            shown = await a.agrees(a.audio(), a.video())
        await asyncio.sleep(0.3)
        await assert_passes(a, shown.port("video"), b, asked.port("video"))
        b.request("INVITE", b.describe(b.fax(), b.video(on=False)))
        to_a = await a.agrees(a.fax(), a.video(on=False))
        assert to_a.port("image") > 0
        to_b = await b.final()
        await assert_passes(a, to_a.port("image"), b, to_b.port("image"), "image")
        a.request("BYE")
        await b.asked("BYE")


async def test_a_document_declines_video_and_fax_in_place(stage: Stage) -> None:
    number = stage.number("<Gather timeout='20'><Say>Press a key.</Say></Gather>")
    async with PlainPhone() as a:
        a.invite(f"sip:{number}@{stage.server.sip}", a.describe(a.video(), a.audio(), a.fax()))
        answered = await a.final()
        assert answered.kinds() == ["video", "audio", "image"]
        assert (answered.port("video"), answered.port("image")) == (0, 0)
        assert answered.port("audio") > 0
        a.request("INVITE", a.describe(a.video(), a.audio(), a.fax()))
        assert (await a.final()).port("video") == 0
        a.request("INVITE", a.describe(a.fax()))
        assert (await a.final()).status == 488
        a.request("BYE")
        await a.final("BYE")


async def test_one_end_may_speak_ipv6_and_what_is_off_for_a_server_is_declined(tmp_path: Path) -> None:
    port = free_port()
    listen = [
        {"host": "127.0.0.1", "port": port, "transport": "udp"},
        {"host": "::1", "port": port, "transport": "udp"},
    ]
    sip = {"listen": listen, "passes": ["video"]}
    async with (
        open_stage(tmp_path, sip=sip, media={"bind_v6": "::1"}) as stage,
        PlainPhone() as a,
        PlainPhone("::1") as b,
    ):
        answered, asked = await connected(stage, a, b, at=f"127.0.0.1:{port}")
        assert "c=IN IP6 ::1" in asked.body
        await assert_passes(a, answered.port("video"), b, asked.port("video"))
        b.request("INVITE", b.describe(b.audio(), b.video(), b.fax()))
        assert (await b.final()).port("image") == 0
        a.request("BYE")
        await b.asked("BYE")
