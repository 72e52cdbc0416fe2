"""One server, the documents of its numbers, and telephones: what a file of stories shares.

Every story takes numbers of its own with `number`, so that the server need not be started for each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from callrouter.caller.answering import Answering, Manner
from callrouter.caller.line import Line, open_line
from callrouter.caller.phone import Phone
from callrouter.caller.story import Story
from callrouter.declared.state import State
from tests.e2e.addresses import free_port
from tests.e2e.documents import Answer, Documents
from tests.e2e.server import ACCOUNT, TOKEN, Server
from tests.patience import PATIENCE_SECONDS, punctually

NUMBERS = tuple(f"+155502{index:02d}" for index in range(60))
CALLER = "+15550199"
HELD_UP_SECONDS = 0.03
"""Who listens waits for little longer."""
SIGNS_OF_A_FAULT = (
    "Traceback",
    "never retrieved",
    "never awaited",
    "crashed",
    "panicked",
    "too_slow",
    "did_not_end",
)


def prepaid(credit: str, *, bridge: str) -> dict[str, Any]:
    """Sections for `open_stage`: the tester pays from `credit`, 0.60 a minute for its documents and
    `bridge` a minute for bridges."""
    return {
        "accounts": {
            "tester": {
                "sid": ACCOUNT,
                "token": TOKEN,
                "funds": "prepaid",
                "billing_number": NUMBERS[0],
                "plan": "own",
            }
        },
        "credits": [{"account": "tester", "amount": credit, "key": "opening"}],
        "plans": {
            "own": {"prices": {"application": "0.60"}},
            "bridge": {"prices": {"bridge": bridge}},
        },
        "bridge_plan": "bridge",
    }


def heard_in_time(story: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """A test of what somebody hears, tried again where it failed and this machine stood still for longer than
    who listens waits for a packet: nobody hears what comes too late."""

    @wraps(story)
    async def told(*, stage: Stage, **fixtures: Any) -> None:
        async def anew() -> None:
            stage.documents.asked.clear()
            await story(stage=stage, **fixtures)

        await punctually(anew, HELD_UP_SECONDS)

    return told


@dataclass(frozen=True, slots=True)
class Desk:
    """Somebody who takes calls at `uri`."""

    uri: str
    answering: Answering
    folder: Path

    def heard(self, call: int = 1) -> Path:
        """Recording of what the desk heard of its `call`-th call."""
        return self.folder / f"heard-{call}.wav"


@dataclass(slots=True)
class Stage:
    server: Server
    documents: Documents
    line: Line
    folder: Path
    _free: list[str] = field(default_factory=lambda: list(reversed(NUMBERS)))
    _calls: int = 0

    def number(self, document: Answer) -> str:
        """A number of its own whose calls run `document`."""
        number = self._free.pop()
        self.documents.on(answer_path(number), document)
        return number

    def url(self, number: str) -> str:
        return self.documents.url(answer_path(number))

    @asynccontextmanager
    async def phone(self) -> AsyncIterator[Phone]:
        """A telephone for one call, hung up at the end."""
        self._calls += 1
        folder = self.folder / f"call-{self._calls}"
        folder.mkdir(parents=True)
        phone = Phone(self.line.signalling, self.line.media, self.line.clock, folder, Story("", ""))
        try:
            yield phone
        finally:
            await phone.hangup()

    @asynccontextmanager
    async def call(self, number: str) -> AsyncIterator[Phone]:
        """A call to `number` that was answered; what was heard is at `heard(phone)`."""
        async with self.phone() as phone:
            answered = await self.dial(phone, number)
            assert answered, f"{phone.story.status} {phone.story.reason}\n{self.server.words()}"
            yield phone

    async def dial(self, phone: Phone, number: str) -> bool:
        return await phone.dial(f"sip:{number}@{self.server.sip}", CALLER, self._record(phone))

    def _record(self, phone: Phone) -> Path:
        return self.folder / f"heard-{id(phone):x}.wav"

    async def session(self, call_id: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The ended session of the call that a telephone knows by `call_id`."""
        asked = [a for a in self.documents.asked if a.form.get("SipCallId") == call_id]
        assert asked, f"no document was requested for {call_id}"
        return await self.server.session(asked[0].form["CallSid"], seconds)


def answer_path(number: str) -> str:
    return f"/answer/{number.removeprefix('+')}"


def heard(phone: Phone) -> Path:
    """Recording of what a telephone heard, once its call is over."""
    return Path(phone.story.recording)


@asynccontextmanager
async def open_stage(
    folder: Path, *, documents_port: int | None = None, **sections: Any
) -> AsyncIterator[Stage]:
    """`sections` go into config.yaml: settings of rooms, or more of the declared state."""
    async with AsyncExitStack() as stack:
        documents = await stack.enter_async_context(Documents(documents_port))
        for path in ("/status", "/events"):
            documents.on(path, "")
        state: dict[str, Any] = {
            "accounts": {
                "tester": {
                    "sid": ACCOUNT,
                    "token": TOKEN,
                    "funds": "postpaid",
                    "billing_number": NUMBERS[0],
                }
            },
            "addresses": {
                number: {"account": "tester", "target": documents.url(answer_path(number))}
                for number in NUMBERS
            },
        }
        for name in ("accounts", "addresses"):
            state[name] |= sections.pop(name, {})
        fetch = {"allow_private": [f"127.0.0.1:{documents.port}"], **sections.pop("fetch", {})}
        declared = {name: sections.pop(name) for name in [*sections] if name in State.model_fields}
        server = await stack.enter_async_context(
            Server(folder / "server", {**state, **declared}, fetch=fetch, **sections)
        )
        line = await stack.enter_async_context(open_line())
        yield Stage(server, documents, line, folder)
    assert_sound(server)


def assert_sound(server: Server) -> None:
    """Nothing broke inside the server, whatever was done to it from outside."""
    log = (server.folder / "server.log").read_text("utf-8", "replace")
    broken = [line for line in log.splitlines() if any(sign in line for sign in SIGNS_OF_A_FAULT)]
    assert not broken, "\n".join(broken[:20])


@asynccontextmanager
async def desk(folder: Path, manner: Manner, user: str = "agent") -> AsyncIterator[Desk]:
    """A SIP telephone at a port of its own that takes calls in the given manner."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    async with open_line(port=port) as line:
        answering = Answering(line.signalling, line.media, line.clock, folder, manner)
        try:
            yield Desk(f"sip:{user}@127.0.0.1:{port}", answering, folder)
        finally:
            await answering.close()
