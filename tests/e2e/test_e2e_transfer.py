"""Telephones of somebody else's making that transfer whom they talk to: baresip, and SIPp as a carrier's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.baresip import BARESIP, Baresip
from tests.e2e.documents import Documents
from tests.e2e.server import Server, one_application
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.tracks import assert_partitioned
from tests.patience import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)"),
]

NAMES = ("alice", "bob", "carol", "dave")
SECOND, WAITING, LEAVING, MENU = "+15550101", "+15550102", "+15550103", "+15550104"
BANNED = "+15550666"


@dataclass(slots=True)
class Office:
    server: Server
    documents: Documents
    phones: dict[str, Baresip]
    folder: Path

    async def connect(self, caller: str, callee: str) -> None:
        """`caller` calls the office's number, which dials `callee`."""
        await self.phones[caller].dial(f"sip:+15550100@{self.server.sip}")
        await self.takes(callee)
        await self.phones[caller].event("CALL_ESTABLISHED")
        await asyncio.sleep(1.5)

    async def takes(self, name: str) -> None:
        await self.phones[name].event("CALL_INCOMING")
        await self.phones[name].command("accept")
        await self.phones[name].event("CALL_ESTABLISHED")

    async def hands_on(self, name: str, to: str) -> None:
        """`name` hands whom it talks to on, and is out of it when `to` has taken the call."""
        await self.phones[name].command("transfer", f"sip:{to}@{self.server.sip}")
        await self.takes(to)
        await self.phones[name].event("CALL_CLOSED")

    def sipp(
        self,
        scenario: str,
        name: str,
        *,
        number: str = "+15550100",
        headers: tuple[str, ...] = (),
        **values: str | int,
    ) -> Sipp:
        folder = self.folder / name
        host = "127.0.0.2" if name == "stranger" else "127.0.0.1"
        return Sipp(
            scenario, self.server.sip, folder, number=number, values=values, headers=headers, host=host
        )

    def refused(self, name: str, status: int, target: str, *headers: str, forged: str = "") -> Sipp:
        """A caller of a document that talks, whose REFER is refused."""
        values: dict[str, str | int] = {"status": status, "target": target, "forged": forged, "before_ms": 0}
        return self.sipp("refers_refused", name, number=MENU, headers=headers, **values)

    async def ringing(self) -> str:
        """The Replaces value of the call that rings somewhere, as the one who picks it up has to name it."""
        (root,) = [call for call in await self.server.calls() if call["direction"] == "inbound"]
        traced = await self.server.get(f"/v1/sessions/{root['sid']}/sip")
        told = [m["text"] for m in traced["messages"] if m["direction"] == "received"]
        call_id, to_tag, from_tag = _named("\n".join(told), "180 Ringing")
        return f"{call_id};to-tag={from_tag};from-tag={to_tag}"

    async def sessions(self) -> list[dict[str, Any]]:
        """All there were, once they are over."""
        found = []
        for call in await self.server.calls():
            with suppress(AssertionError):  # a call of somebody else's session has none of its name
                found.append(await self.server.session(call["sid"]))
        return found


@asynccontextmanager
async def office(
    folder: Path, documents: Documents, *names: str, picks_up: Collection[str] = ()
) -> AsyncIterator[Office]:
    """The server with these telephones registered, of which some pick up by themselves.  Its first number
    dials bob, its second one carol, whose callers are answered at once; two more dial carol and dave,
    and one has a document that talks.
    SIPp is of a carrier that may transfer, but at 127.0.0.2 of one that may not."""
    dial = '<Dial timeout="60" action="/over" answerOnBridge="{}"><Client>{}</Client></Dial>'
    documents.on("/answer", dial.format("true", "bob"))
    documents.on("/second", dial.format("false", "carol"))
    documents.on("/waiting", dial.format("true", "carol"))
    documents.on("/leaving", dial.format("true", "dave"))
    documents.on("/over", "<Hangup/>")
    carriers = [
        {"name": "carrier", "sources": ["127.0.0.1/32"], "transfers": True},
        {"name": "other", "sources": ["127.0.0.2/32"]},
    ]
    users = [{"name": name, "password": f"{name}-secret"} for name in NAMES]
    sip = {"registrar": {"users": users}, "peers": [], "trunks": carriers}
    state = one_application(documents.url("/answer"))
    documents.on("/menu", '<Play digits="1"/><Pause length="15"/>')
    paths = {SECOND: "/second", WAITING: "/waiting", LEAVING: "/leaving", MENU: "/menu"}
    for number, path in paths.items():
        state["addresses"][number] = {"account": "tester", "target": documents.url(path)}
    state["policy"] = {"banned": [{"party": "callee", "pattern": BANNED}]}
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(folder / "server", state, fetch=allowed, sip=sip))
        phones = {}
        for name in names:
            mode = "auto" if name in picks_up else "manual"
            account = (
                f"<sip:{name}@{server.sip}>;auth_pass={name}-secret;regint=120;answermode={mode};"
                "audio_codecs=pcmu\n"
            )
            phones[name] = await stack.enter_async_context(Baresip(folder / name, user=name, account=account))
        for phone in phones.values():
            await phone.registered()
        yield Office(server, documents, phones, folder)


def assert_partitioned_over(sessions: list[dict[str, Any]]) -> None:
    """A call that left its session has the rest of its track in its own."""
    tracks: dict[str, dict[str, Any]] = {}
    for call in (call for session in sessions for call in session["calls"]):
        track = tracks.setdefault(call["sid"], {**call, "intervals": []})
        track["intervals"] = sorted(track["intervals"] + call["intervals"], key=lambda i: i["sequence"])
    assert_partitioned({"status": "ended", "calls": [*tracks.values()]})
    assert all(session["status"] == "ended" for session in sessions)


def heard_ms(phone: Baresip) -> int:
    return sum(sound.to_ms - sound.from_ms for sound in phone.heard())


async def test_a_callee_hands_the_caller_on(tmp_path: Path, documents: Documents) -> None:
    async with office(tmp_path, documents, "alice", "bob", "carol") as here:
        await here.connect("alice", "bob")
        await here.hands_on("bob", "carol")
        await asyncio.sleep(1)
        assert not here.phones["alice"].saw("CALL_CLOSED")
        await here.phones["carol"].command("hangup")
        over = await documents.request("/over")
        await here.phones["alice"].event("CALL_CLOSED")
        (session,) = await here.sessions()
    assert (over.form["DialCallStatus"], over.form["DialBridged"]) == ("completed", "true")
    assert int(over.form["DialCallDuration"]) >= 2
    assert heard_ms(here.phones["carol"]) > 500
    assert_partitioned(session)
    root, *others = session["calls"]
    assert {call["parent_sid"] for call in others} == {root["sid"]}


async def test_a_caller_hands_the_callee_on(tmp_path: Path, documents: Documents) -> None:
    async with office(tmp_path, documents, "alice", "bob", "carol") as here:
        await here.connect("alice", "bob")
        await here.hands_on("alice", "carol")
        over = await documents.request("/over")
        await asyncio.sleep(1)
        await here.phones["carol"].command("hangup")
        await here.phones["bob"].event("CALL_CLOSED")
        sessions = await here.sessions()
    assert over.form["DialCallStatus"] == "completed"
    assert heard_ms(here.phones["carol"]) > 500
    assert_partitioned_over(sessions)
    assert len(sessions) == 2


@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)")
async def test_what_else_telephones_ask_for(tmp_path: Path, documents: Documents) -> None:
    """At the same time: a party that does not hang up afterwards, one that brings two of its parties
    together, one that does not wait for whom it calls, and targets that are not there or forbidden."""
    async with office(tmp_path, documents, "bob", "carol", picks_up=("bob", "carol")) as here:
        carol = here.phones["carol"]
        consultation = here.sipp("hears_out", "consultation", number=SECOND)
        talking = await consultation.start()
        await carol.event("CALL_ESTABLISHED")
        replaces = quote(dialog_of(consultation.messages()), safe="")
        to_bob, to_carol, to_dave = (f"sip:{name}@{here.server.sip}" for name in ("bob", "carol", "dave"))
        await asyncio.gather(
            here.sipp("refers", "attended", target=f"{to_carol}?Replaces={replaces}", before_ms=500).run(),
            here.sipp("refers", "stays", target=to_carol, before_ms=500).run(),
            here.sipp("refers", "hurries", number=SECOND, target=to_bob, before_ms=0).run(),
            here.sipp("refers_in_vain", "nobody", target=to_dave, before_ms=500, status=480).run(),
            here.sipp("refers_in_vain", "loop", target="tel:+15550100", before_ms=500, status=482).run(),
            here.sipp("refers_in_vain", "banned", target=f"tel:{BANNED}", before_ms=500, status=403).run(),
            consultation.finish(talking),
        )
        for number in (1, 2, 3):
            await carol.command("hangup")
            await carol.event("CALL_CLOSED", number=number)
        await here.phones["bob"].event("CALL_CLOSED", number=6)
        sessions = await here.sessions()
    assert_partitioned_over(sessions)


@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)")
async def test_a_target_that_still_rings(tmp_path: Path, documents: Documents) -> None:
    """Telephones that do not wait until it answers: one keeps both its calls until it is told how that went,
    one hangs both up, and one repeats itself and asks anew."""
    async with office(tmp_path, documents, *NAMES, picks_up=("bob",)) as here:
        alice, bob, carol, dave = (here.phones[name] for name in NAMES)
        consultation = here.sipp("hears_out", "consultation", number=WAITING)
        talking = await consultation.start()
        await carol.event("CALL_INCOMING")
        replaces = quote(dialog_of(consultation.messages(), "180 Ringing"), safe="")
        to_alice, to_carol, to_dave = (f"sip:{name}@{here.server.sip}" for name in ("alice", "carol", "dave"))
        waits = here.sipp("refers", "waits", target=f"{to_carol}?Replaces={replaces}", before_ms=300)
        leaves = here.sipp("refers_and_leaves", "leaves", second=LEAVING, target=to_dave)
        twice = here.sipp("refers_twice", "twice", target=to_alice, before_ms=300)
        await asyncio.gather(
            waits.run(),
            consultation.finish(talking),
            picks_up_once_told(waits, carol),
            leaves.run(),
            picks_up_once_told(leaves, dave),
            twice.run(),
            picks_up_once_told(twice, alice, "SIP/2.0 491 "),
        )
        for phone in (alice, carol, dave):
            await phone.command("hangup")
        await bob.event("CALL_CLOSED", number=3)
        sessions = await here.sessions()
    assert_partitioned_over(sessions)
    assert min(heard_ms(carol), heard_ms(dave)) > 500
    called = [call["to"] for session in sessions for call in session["calls"]]
    assert (called.count("client:alice"), called.count("client:dave")) == (1, 2)


@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)")
async def test_what_nobody_may_ask_for(tmp_path: Path, documents: Documents) -> None:
    """At the same time: requests that cannot be meant, of nobody's call or of somebody who may not."""
    async with office(tmp_path, documents) as here:
        carol = f"sip:carol@{here.server.sip}"
        await asyncio.gather(
            here.refused("two", 400, carol, f"Refer-To: <{carol}>").run(),
            here.refused("goodbye", 400, f"{carol};method=BYE").run(),
            here.refused("post", 416, "mailto:carol@example.com").run(),
            here.refused("forged", 481, carol, forged="x").run(),
            here.refused("stranger", 403, carol).run(),
            here.refused("document", 480, carol).run(),
            here.sipp("refers_alone", "alone", target=carol).run(),
        )
        sessions = await here.sessions()
    assert_partitioned_over(sessions)
    assert all(len(session["calls"]) == 1 for session in sessions)


@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)")
async def test_a_colleague_picks_up_what_rings_elsewhere(tmp_path: Path, documents: Documents) -> None:
    """An INVITE with Replaces for bob's call: what is said comes back from SIPp, which echoes it."""
    async with office(tmp_path, documents, "alice", "bob") as here:
        alice, bob = here.phones["alice"], here.phones["bob"]
        await alice.dial(f"sip:+15550100@{here.server.sip}")
        await bob.event("CALL_INCOMING")
        named = await here.ringing()
        colleague = here.sipp("hears_out", "colleague", headers=(f"Replaces: {named};early-only",))
        colleague.options = ("-rtp_echo",)
        talking = await colleague.start()
        await bob.event("CALL_CLOSED")
        await alice.event("CALL_ESTABLISHED")
        await asyncio.sleep(1.5)
        await here.sipp("refused", "late", headers=(f"Replaces: {named}",), status=481).run()
        await alice.command("hangup")
        over = await documents.request("/over")
        await colleague.finish(talking)
        (session,) = await here.sessions()
    assert not bob.saw("CALL_ESTABLISHED")
    assert heard_ms(alice) > 500
    assert (over.form["DialCallStatus"], over.form["DialBridged"]) == ("completed", "true")
    assert len(session["calls"]) == 2
    assert_partitioned(session)


async def picks_up_once_told(
    asker: Sipp, phone: Baresip, told: str = r"CSeq: 2 NOTIFY.*?\nSIP/2.0 180 "
) -> None:
    """`phone` answers as soon as the asker has been told (after 100 Trying) that it rings."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not re.search(told, asker.messages(), re.DOTALL):
            await asyncio.sleep(0.05)
        while not phone.saw("CALL_ESTABLISHED"):
            # It takes up the call that was given up before, if it has not noticed that yet.
            await phone.command("accept")
            await asyncio.sleep(0.5)


def dialog_of(messages: str, status: str = "200 OK") -> str:
    """The Replaces value of the call that SIPp's log of messages shows."""
    call_id, to_tag, from_tag = _named(messages, status)
    return f"{call_id};to-tag={to_tag};from-tag={from_tag}"


def _named(messages: str, status: str) -> tuple[str, str, str]:
    """Call-ID and the tags of To and From of an answer."""
    answer = re.search(rf"SIP/2.0 {status}.*?\n\s*\n", messages, re.DOTALL)
    assert answer is not None, messages
    fields = [re.search(rf"{name}:.*?;tag=([^\s;]+)", answer[0]) for name in ("To", "From")]
    to_tag, from_tag = (field[1] for field in fields if field is not None)
    call_id = re.search(r"Call-ID: (\S+)", answer[0], re.IGNORECASE)
    assert call_id is not None
    return call_id[1], to_tag, from_tag
