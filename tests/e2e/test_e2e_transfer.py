"""Telephones of somebody else's making that transfer whom they talk to: baresip, and SIPp as a carrier's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
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

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)"),
]

NAMES = ("alice", "bob", "carol", "dave")
SECOND = "+15550101"


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

    def sipp(self, scenario: str, name: str, *, number: str = "+15550100", **values: str | int) -> Sipp:
        folder = self.folder / name
        host = "127.0.0.2" if name == "stranger" else "127.0.0.1"
        return Sipp(scenario, self.server.sip, folder, number=number, values=values, host=host)

    async def sessions(self) -> list[dict[str, Any]]:
        """All there were, once they are over."""
        found = []
        for call in await self.server.calls():
            with suppress(AssertionError):  # a call of somebody else's session has none of its name
                found.append(await self.server.session(call["sid"]))
        return found


@asynccontextmanager
async def office(
    folder: Path, documents: Documents, *names: str, mode: str = "manual"
) -> AsyncIterator[Office]:
    """The server with these telephones registered.  Its first number dials bob, its second one carol.
    SIPp is of a carrier that may transfer, but at 127.0.0.2 of one that may not."""
    documents.on("/answer", '<Dial timeout="15" action="/over"><Client>bob</Client></Dial>')
    documents.on("/second", '<Dial timeout="15" action="/over"><Client>carol</Client></Dial>')
    documents.on("/over", "<Hangup/>")
    carriers = [
        {"name": "carrier", "sources": ["127.0.0.1/32"], "transfers": True},
        {"name": "other", "sources": ["127.0.0.2/32"]},
    ]
    users = [{"name": name, "password": f"{name}-secret"} for name in NAMES]
    sip = {"registrar": {"users": users}, "peers": [], "trunks": carriers}
    state = one_application(documents.url("/answer"))
    state["addresses"][SECOND] = {"account": "tester", "target": documents.url("/second")}
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(folder / "server", state, fetch=allowed, sip=sip))
        phones = {}
        for name in names:
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
    together, targets that are not there, and somebody who may not."""
    async with office(tmp_path, documents, "bob", "carol", mode="auto") as here:
        consultation = here.sipp("hears_out", "consultation", number=SECOND)
        talking = await consultation.start()
        await here.phones["carol"].event("CALL_ESTABLISHED")
        replaces = quote(dialog_of(consultation.messages()), safe="")
        carol, dave = (f"sip:{name}@{here.server.sip}" for name in ("carol", "dave"))
        await asyncio.gather(
            here.sipp("refers", "attended", target=f"{carol}?Replaces={replaces}", before_ms=3000).run(),
            here.sipp("refers", "stays", target=carol, before_ms=3500).run(),
            here.sipp("refers_in_vain", "nobody", target=dave, before_ms=3000, status=480).run(),
            here.sipp("refers_in_vain", "loop", target="tel:+15550100", before_ms=3000, status=482).run(),
            here.sipp(
                "refers_refused", "stranger", number=SECOND, target=carol, before_ms=3000, status=403
            ).run(),
            consultation.finish(talking),
        )
        for _ in range(2):
            await here.phones["carol"].command("hangup")
        await here.phones["bob"].event("CALL_CLOSED", number=4)
        sessions = await here.sessions()
    assert_partitioned_over(sessions)


def dialog_of(messages: str) -> str:
    """The Replaces value of the call that SIPp's log of messages shows."""
    answer = re.search(r"SIP/2.0 200 OK.*?\n\s*\n", messages, re.DOTALL)
    assert answer is not None, messages
    fields = [re.search(rf"{name}:.*?;tag=([^\s;]+)", answer[0]) for name in ("To", "From")]
    to_tag, from_tag = (field[1] for field in fields if field is not None)
    call_id = re.search(r"Call-ID: (\S+)", answer[0])
    assert call_id is not None
    return f"{call_id[1]};to-tag={to_tag};from-tag={from_tag}"
