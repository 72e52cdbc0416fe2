"""Telephones that register: SIPp, baresip and a bare connection, called and calling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callrouter.errors import Unroutable
from callrouter.ports import Answered, Ended, Failed, OutgoingCall, Ringing, SipLeg
from callrouter.sip.protocol.auth import Credentials, answer, strongest
from callrouter.sip.protocol.framer import Framer
from callrouter.sip.protocol.message import Message, Request, Response
from callrouter.sip.registrar_settings import RegistrarSettings, User
from tests.e2e.addresses import free_port, taken
from tests.e2e.baresip import BARESIP, Baresip
from tests.integration.sip_peer import MEDIA, Peer, peer
from tests.integration.test_sip_sipp import SCENARIOS, SIPP, server, sipp
from tests.patience import PATIENCE_SECONDS

REGISTRAR = RegistrarSettings(
    users=(User(name="alice", password="wonderland"), User(name="bob", password="b"))
)

DESCRIBED = ("Content-Type", "application/sdp")
AUDIO = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"


def filled_in(name: str, folder: Path, **values: object) -> tuple[str, str]:
    text = (SCENARIOS / f"{name}.xml").read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path = folder / f"{name}.xml"
    path.write_text(text)
    return "-sf", str(path)


async def registered(ours: Peer) -> None:
    """A telephone of alice's is known."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_known(ours):
            await asyncio.sleep(0.05)


async def is_known(ours: Peer) -> bool:
    try:
        await ours.signalling.route("client:alice")
    except Unroutable:
        return False
    return True


def to_alice(target: str = "client:alice") -> OutgoingCall:
    return OutgoingCall(target, "+15550100", "", MEDIA)


@pytest.mark.e2e
@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed")
@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_sipp_registers_and_is_called_where_it_said(transport: str, tmp_path: Path) -> None:
    port = free_port()
    values = {"contact_port": port, "password": "wonderland", "status": 200, "expected": "expires=120"}
    async with peer(registrar=REGISTRAR) as ours:
        phone = filled_in("registers", tmp_path, **values)
        async with sipp(tmp_path, *phone, server(ours, transport), "-m", "1", transport=transport):
            pass
        async with sipp(tmp_path, "-sn", "uas", "-p", str(port), "-m", "1", transport=transport):
            await taken(port, "udp" if transport == "u1" else "tcp")
            leg = ours.signalling.place(to_alice(), ours.sink)
            await ours.wait(lambda: bool(ours.told(Answered)))
            assert leg.request_uri.startswith(f"sip:alice@127.0.0.1:{port}")
            leg.hangup()


@pytest.mark.e2e
@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed")
async def test_sipp_with_a_wrong_password_is_not_called(tmp_path: Path) -> None:
    values = {"contact_port": 5999, "password": "guess", "status": 403, "expected": "Forbidden"}
    async with peer(registrar=REGISTRAR) as ours:
        async with sipp(tmp_path, *filled_in("registers", tmp_path, **values), server(ours, "u1"), "-m", "1"):
            pass
        with pytest.raises(Unroutable, match="nothing has registered"):
            await ours.signalling.route("client:alice")


@pytest.mark.e2e
@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed")
@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_sipp_calls_as_a_user_and_is_shown_as_that_user(transport: str, tmp_path: Path) -> None:
    async with peer(registrar=REGISTRAR) as ours:
        call = filled_in("proves_itself_and_calls", tmp_path)
        async with sipp(
            tmp_path, *call, server(ours, transport), "-s", "+15550100", "-m", "5", transport=transport
        ):
            pass
        await ours.wait(lambda: len(ours.told(Ended)) == 5)
        assert {leg.from_uri for leg in ours.legs} == {"sip:alice@127.0.0.1"}
        assert not any("P-Asserted-Identity" in leg.headers for leg in ours.legs), "nobody vouches for it"


@pytest.mark.e2e
@pytest.mark.skipif(BARESIP is None, reason="baresip is not installed")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_baresip_registers_is_called_and_calls(transport: str, tmp_path: Path) -> None:
    async with peer(registrar=REGISTRAR) as ours:
        port = ours.port(0 if transport == "udp" else 1)
        account = (
            f"<sip:alice@127.0.0.1:{port};transport={transport}>;auth_pass=wonderland;regint=120;"
            "answermode=auto;audio_codecs=pcmu\n"
        )
        async with Baresip(tmp_path, user="alice", account=account) as phone:
            await registered(ours)
            leg = ours.signalling.place(to_alice(f"sip:alice@127.0.0.1:{ours.port(0)}"), ours.sink)
            await ours.wait(lambda: bool(ours.told(Answered)))
            assert leg.transport == transport
            leg.hangup()
            await phone.event("CALL_CLOSED")
            await phone.dial(f"sip:+15550100@127.0.0.1:{port};transport={transport}")
            await ours.wait(lambda: bool(ours.legs))
            assert ours.legs[0].from_uri == "sip:alice@127.0.0.1"
            ours.legs[0].hangup()


class Phone:
    """A telephone behind a NAT: its contact is of no use, only its connection is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.framer = Framer()
        self.read: list[Message] = []

    async def next(self) -> Message:
        while not self.read:
            data = await asyncio.wait_for(self.reader.read(65536), PATIENCE_SECONDS)
            assert data, "the connection was closed"
            self.read += self.framer.feed(data)
        return self.read.pop(0)

    def send(self, message: Request | Response) -> None:
        self.writer.write(bytes(message))

    async def register(self, user: str, password: str, contact: str) -> Response:
        fields = [
            ("From", f"<sip:{user}@127.0.0.1>;tag=p"),
            ("To", f"<sip:{user}@127.0.0.1>"),
            ("Call-ID", f"reg-{contact}"),
            ("Contact", f"<{contact}>"),
        ]
        via = "SIP/2.0/TCP 10.0.0.5:5060;branch=z9hG4bK"
        self.send(Request("REGISTER", "sip:127.0.0.1", [("Via", f"{via}1"), ("CSeq", "1 REGISTER"), *fields]))
        challenged = await self.next()
        challenge = strongest(challenged.all("WWW-Authenticate"))
        assert challenge is not None
        value = answer(
            challenge,
            Credentials(user, password),
            method="REGISTER",
            uri="sip:127.0.0.1",
            body=b"",
            cnonce="c",
            count=1,
        )
        more = [("Via", f"{via}2"), ("CSeq", "2 REGISTER"), *fields, ("Authorization", value)]
        self.send(Request("REGISTER", "sip:127.0.0.1", more))
        response = await self.next()
        assert isinstance(response, Response)
        return response

    def answer(self, invite: Request, status: int) -> None:
        names = ("Via", "From", "Call-ID", "CSeq")
        fields = [(n, v) for n, v in invite.fields if n in names]
        fields.append(("To", f"{invite.get('To')};tag=phone{status}"))
        fields.append(("Contact", "<sip:alice@10.0.0.5;transport=tcp>"))
        body = AUDIO if status in (183, 200) else b""
        if body:
            fields.append(DESCRIBED)
        self.send(Response(status, "So", fields, body))

    async def pick_up(self, replaces: str) -> None:
        """The call that `replaces` names, which rings elsewhere."""

        def request(method: str, to: str, *more: tuple[str, str], body: bytes = b"") -> Request:
            fields = [
                ("Via", f"SIP/2.0/TCP 10.0.0.7:5060;branch=z9hG4bK{method}"),
                ("From", "<sip:colleague@127.0.0.1>;tag=up"),
                ("To", to),
                ("Call-ID", "picked-up"),
                ("CSeq", f"1 {method}"),
                ("Contact", "<sip:colleague@10.0.0.7;transport=tcp>"),
            ]
            return Request(method, "sip:alice@127.0.0.1", [*fields, *more], body)

        more = ("Replaces", replaces), ("X-Desk", "7"), DESCRIBED
        self.send(request("INVITE", "<sip:alice@127.0.0.1>", *more, body=AUDIO))
        while True:
            message = await self.next()
            if isinstance(message, Response) and message.call_id == "picked-up" and message.status >= 200:
                assert message.status == 200
                self.send(request("ACK", message.get("To") or ""))
                return

    async def request(self, method: str) -> Request:
        while True:
            message = await self.next()
            if isinstance(message, Request) and message.method == method:
                return message


@asynccontextmanager
async def phone(ours: Peer, contact: str = "sip:alice@10.0.0.5;transport=tcp") -> AsyncIterator[Phone]:
    reader, writer = await asyncio.open_connection("127.0.0.1", ours.port(1))
    made = Phone(reader, writer)
    response = await made.register("alice", "wonderland", contact)
    assert response.status == 200
    try:
        yield made
    finally:
        writer.close()


@asynccontextmanager
async def desk_and_hall() -> AsyncIterator[tuple[Peer, Phone, Phone]]:
    """A server of ours, and two telephones of one user."""
    async with (
        peer(registrar=REGISTRAR) as ours,
        phone(ours, "sip:desk@10.0.0.5;transport=tcp") as desk,
        phone(ours, "sip:hall@10.0.0.6;transport=tcp") as hall,
    ):
        yield ours, desk, hall


async def test_a_telephone_behind_a_nat_is_called_by_its_connection_and_lost_with_it() -> None:
    async with peer(registrar=REGISTRAR) as ours:
        async with phone(ours) as alice:
            assert (await ours.signalling.route("client:alice")).family == 4
            leg = ours.signalling.place(to_alice(), ours.sink)
            invite = await alice.request("INVITE")
            assert invite.uri == "sip:alice@10.0.0.5;transport=tcp"
            alice.answer(invite, 200)
            await ours.wait(lambda: bool(ours.told(Answered)))
            leg.hangup()
            assert (await alice.request("BYE")).uri == "sip:alice@10.0.0.5;transport=tcp"
        await ours.wait_for_no_connection("tcp")
        assert not await is_known(ours)


async def test_all_telephones_ring_and_the_first_to_answer_has_the_call() -> None:
    async with desk_and_hall() as (ours, desk, hall):
        leg = ours.signalling.place(to_alice(), ours.sink)
        at_desk, in_hall = await desk.request("INVITE"), await hall.request("INVITE")
        desk.answer(at_desk, 180)
        hall.answer(in_hall, 180)
        await ours.wait(lambda: len(ours.events) == 2)
        hall.answer(in_hall, 200)
        await ours.wait(lambda: bool(ours.told(Answered)))
        cancelled = await desk.request("CANCEL")
        assert "Call completed elsewhere" in (cancelled.get("Reason") or "")
        desk.answer(at_desk, 487)
        leg.hangup()
        await hall.request("BYE")
        assert not ours.told(Failed)


async def test_a_colleague_picks_up_what_rings_and_all_of_it_falls_silent() -> None:
    """An INVITE with Replaces for one of several (RFC 3891 §3)."""
    async with desk_and_hall() as (ours, desk, hall):
        leg = ours.signalling.place(to_alice(), ours.sink)
        rung = [(one, await one.request("INVITE")) for one in (desk, hall)]
        for one, invite in rung:
            one.answer(invite, 180)
        await ours.wait(lambda: len(ours.events) == 2)
        reader, writer = await asyncio.open_connection("127.0.0.1", ours.port(1))
        colleague, named = Phone(reader, writer), rung[0][1]
        await colleague.pick_up(f"{named.call_id};to-tag={named.from_tag};from-tag=phone180;early-only")
        await ours.wait(lambda: bool(ours.told(Answered)))
        (answered,) = ours.told(Answered)
        assert answered.audio.remote.port == 6000
        assert leg.headers["X-Desk"] == answered.headers["X-Desk"] == "7"
        for one, invite in rung:
            await one.request("CANCEL")
            one.answer(invite, 487)
        leg.hangup()
        assert (await colleague.request("BYE")).call_id == "picked-up"
        assert not ours.told(Failed)
        writer.close()


async def test_of_two_that_are_heard_the_one_that_declines_leaves_the_other_to_be_heard() -> None:
    async with desk_and_hall() as (ours, desk, hall):
        leg = ours.signalling.place(to_alice(), ours.sink)
        at_desk, in_hall = await desk.request("INVITE"), await hall.request("INVITE")
        desk.answer(at_desk, 183)
        await ours.wait(lambda: len(ours.events) == 1)
        hall.answer(in_hall, 183)
        await ours.wait(lambda: len(ours.events) == 2)
        hall.answer(in_hall, 486)
        await ours.wait(lambda: len(ours.events) == 3)
        assert all(ringing.early is not None for ringing in ours.told(Ringing))
        leg.hangup()
        await desk.request("CANCEL")


async def test_a_telephone_that_declines_does_not_end_what_rings_elsewhere_but_a_6xx_does() -> None:
    async with desk_and_hall() as (ours, desk, hall):
        ours.signalling.place(to_alice(), ours.sink)
        at_desk, in_hall = await desk.request("INVITE"), await hall.request("INVITE")
        hall.answer(in_hall, 180)
        desk.answer(at_desk, 486)
        await desk.request("ACK")
        assert not ours.told(Failed)
        hall.answer(in_hall, 603)
        await ours.wait(lambda: bool(ours.told(Failed)))
        assert ours.told(Failed)[0].status == 603


async def test_hanging_up_silences_every_telephone() -> None:
    async with desk_and_hall() as (ours, desk, hall):
        leg = ours.signalling.place(to_alice(), ours.sink)
        for one in (desk, hall):
            one.answer(await one.request("INVITE"), 180)
        await ours.wait(lambda: len(ours.events) == 2)
        leg.hangup()
        for one in (desk, hall):
            await one.request("CANCEL")
        assert [event.status for event in ours.told(Failed)] == [487]


@pytest.mark.parametrize(("strangers", "status"), [("challenge", 401), ("refuse", 403)])
async def test_a_call_from_nowhere_in_particular_is_not_taken(strangers: str, status: int) -> None:
    """Where strangers are refused there are no users here: else whoever names our own address in From,
    as a caller on this machine does, has to prove to be one."""
    taken: list[SipLeg] = []
    registrar = REGISTRAR if strangers == "challenge" else RegistrarSettings()
    async with peer(registrar=registrar, peers=(), strangers=strangers) as ours, peer() as theirs:
        ours.on_call = taken.append
        target = f"sip:+15550100@127.0.0.1:{ours.port()}"
        theirs.signalling.place(OutgoingCall(target, "mallory", "", MEDIA), theirs.sink)
        await theirs.wait(lambda: bool(theirs.told(Failed)))
        assert theirs.told(Failed)[0].status == status
        call = OutgoingCall(target, "mallory", "", MEDIA, username="alice", password="wonderland")
        theirs.signalling.place(call, theirs.sink)
        if strangers == "challenge":
            await ours.wait(lambda: bool(taken))
            assert taken[0].from_uri == "sip:alice@127.0.0.1"
            taken[0].reject(486)
        else:
            await theirs.wait(lambda: len(theirs.told(Failed)) == 2)
            assert taken == []
