"""kill -9 in the middle of fifty calls: nothing metered is lost, nothing is counted twice, nobody is left
on a line with a dead server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from callrouter.caller.answering import Manner
from callrouter.caller.phone import Phone
from callrouter.caller.story import EndedBy
from callrouter.caller.voice import write_hum
from tests.e2e.books import Books, killed_between_heartbeats
from tests.e2e.stage import Desk, Stage, desk, open_stage, prepaid
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.e2e
LISTENING = 38
TALKING = 6
"""Each of these is two calls: the caller's, and the one it dialled."""
CLOCKS_MS = 20
"""By which the two clocks of a machine may drift apart during a test."""
MONEY = prepaid("100", bridge="0.30")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path, **MONEY) as opened:
        yield opened


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Desk]:
    write_hum(tmp_path / "long.wav", 60_000)
    manner = Manner(tmp_path / "long.wav", ring_seconds=0.1, hang_up=False)
    async with desk(tmp_path / "agent", manner) as opened:
        yield opened


async def test_after_kill_9_every_call_is_closed_once_and_hung_up(stage: Stage, agent: Desk) -> None:
    listen = stage.number('<Say loop="0">This never ends.</Say>')
    talk = stage.number(f"<Dial><Sip>{agent.uri}</Sip></Dial>")
    async with AsyncExitStack() as calls:
        phones = [await calls.enter_async_context(stage.phone()) for _ in range(LISTENING + TALKING)]
        numbers = [listen] * LISTENING + [talk] * TALKING
        await asyncio.gather(*map(stage.dial, [*phones], numbers))
        assert all(phone.story.answered_ms is not None for phone in phones), stage.server.words()
        await all_joined(agent)
        known_ms = await killed_between_heartbeats(stage.server)
        assert not any(phone.story.ended_ms for phone in phones)
        await asyncio.sleep(1)
        await stage.server.start()
        await all_hung_up(phones, agent)
    assert {phone.story.ended_by for phone in phones} == {EndedBy.CALLEE}
    await stage.server.get("/v1/usage")
    books = Books(stage.server.folder / "data")
    await projected(books)
    tracks = books.tracks()
    assert len(tracks) == LISTENING + 2 * TALKING
    for track in tracks.values():
        known = max(known_ms, track[-1]["start_ms"])
        assert abs(track[-1]["end_ms"] - known) <= CLOCKS_MS, (known_ms, track[-1])
    answered = {row["sid"]: row["answered_ms"] for row in books.rows("SELECT * FROM calls")}
    assert all(answered.values())
    books.assert_closed()
    books.assert_balanced()
    books.assert_charged_as_metered()
    assert {row["status"] for row in books.rows("SELECT * FROM calls")} == {"completed"}
    await usage_equals_the_intervals(stage, books)
    await nothing_changes_by_starting_again(stage, books)


async def test_a_server_killed_again_and_again_while_it_recovers_closes_each_call_once(
    stage: Stage,
) -> None:
    number = stage.number('<Say loop="0">This never ends.</Say>')
    async with AsyncExitStack() as calls:
        phones = [await calls.enter_async_context(stage.phone()) for _ in range(10)]
        await asyncio.gather(*(stage.dial(phone, number) for phone in phones))
        known_ms = await killed_between_heartbeats(stage.server)
        for life in (0.5, 0.8, 1.0, 1.2, 1.4):
            await killed_after(stage, life)
        await stage.server.start()
        await all_hung_up(phones, None)
    books = Books(stage.server.folder / "data")
    await projected(books)
    for track in books.tracks().values():
        known = max(known_ms, track[-1]["start_ms"])
        assert abs(track[-1]["end_ms"] - known) <= CLOCKS_MS, (known_ms, track[-1])
    books.assert_closed()
    books.assert_balanced()
    books.assert_charged_as_metered()
    await nothing_changes_by_starting_again(stage, books)


async def test_new_calls_are_taken_and_metered_after_a_crash(stage: Stage) -> None:
    number = stage.number("<Say>Hello.</Say>")
    async with stage.call(number) as phone:
        await stage.server.kill()
        await stage.server.start()
        assert await phone.over(PATIENCE_SECONDS)
    async with stage.call(number) as phone:
        assert await phone.over(PATIENCE_SECONDS)
    assert phone.story.ended_by is EndedBy.CALLEE
    session = await stage.session(phone.story.call_id)
    assert session["status"] == "ended"
    books = Books(stage.server.folder / "data")
    await projected(books)
    assert len(books.tracks()) == 2
    books.assert_closed()
    books.assert_balanced()


async def killed_after(stage: Stage, seconds: float) -> None:
    """Start the server and kill it, however far it has come by then."""
    starting = asyncio.create_task(stage.server.start())
    await asyncio.sleep(seconds)
    await stage.server.kill()
    with suppress(AssertionError):
        await starting


async def all_joined(agent: Desk) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while sum(1 for taken in agent.answering.taken if taken.answered_ns) < TALKING:
            await asyncio.sleep(0.05)


async def all_hung_up(phones: list[Phone], agent: Desk | None) -> None:
    """Both ends of every orphaned dialog got a BYE."""
    for phone in phones:
        assert await phone.over(PATIENCE_SECONDS), "no BYE for a caller"
    for _ in range(TALKING if agent is not None else 0):
        assert agent is not None
        taken = await asyncio.wait_for(agent.answering.finished(), PATIENCE_SECONDS)
        assert taken.ended_ns


async def projected(books: Books) -> None:
    """Wait until the journal's facts are in the database."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while books.rows("SELECT 1 FROM intervals WHERE end_ms IS NULL") or books.rows(
            "SELECT 1 FROM calls WHERE end_ms IS NULL"
        ):
            await asyncio.sleep(0.05)


async def usage_equals_the_intervals(stage: Stage, books: Books) -> None:
    metered: dict[tuple[str, str, str], int] = {}
    for track in books.tracks().values():
        for row in track:
            key = (row["key_number"], row["module"], row["mode"])
            metered[key] = metered.get(key, 0) + row["end_ms"] - row["start_ms"]
    usage = (await stage.server.get("/v1/usage"))["usage"]
    assert {(row["number"], row["module"], row["mode"]): row["duration_ms"] for row in usage} == metered


async def nothing_changes_by_starting_again(stage: Stage, books: Books) -> None:
    before = books.everything()
    await stage.server.stop()
    await stage.server.start()
    assert books.everything() == before
    await stage.server.kill()
    await stage.server.start()
    assert books.everything() == before


async def test_killed_at_any_moment_among_calls_of_every_kind_the_books_are_right(
    stage: Stage, tmp_path: Path
) -> None:
    write_hum(tmp_path / "short.wav", 1500)
    chance = random.Random(20)
    async with desk(tmp_path / "desk", Manner(tmp_path / "short.wav", ring_seconds=0.3)) as agent:
        numbers = [
            stage.number(document)
            for document in (
                "<Say>Hello, how are you today?</Say>",
                '<Gather timeout="2"><Say>Press a key.</Say></Gather><Say>Goodbye.</Say>',
                f"<Dial><Sip>{agent.uri}</Sip></Dial>",
                f'<Dial answerOnBridge="true"><Sip>{agent.uri}</Sip></Dial>',
                '<Record maxLength="2" action="/events"/>',
                '<Pause length="1"/><Say>Hello.</Say>',
                "<Reject/>",
            )
        ]
        calls: list[asyncio.Task[None]] = []
        for _ in range(3):
            until = time.monotonic() + chance.uniform(1.0, 3.0)
            while time.monotonic() < until:
                calls.append(asyncio.create_task(one_of_many(stage, chance.choice(numbers))))
                await asyncio.sleep(0.1)
            await stage.server.kill()
            await stage.server.start()
        await asyncio.gather(*calls)
    books = Books(stage.server.folder / "data")
    await projected(books)
    books.assert_closed()
    books.assert_balanced()
    books.assert_charged_as_metered()


async def one_of_many(stage: Stage, number: str) -> None:
    """Whoever was answered is hung up sooner or later; who was not gives up."""
    async with stage.phone() as phone:
        try:
            async with asyncio.timeout(8):
                answered = await stage.dial(phone, number)
        except TimeoutError:
            return
        if answered:
            assert await phone.over(PATIENCE_SECONDS), f"nobody ended {phone.story.call_id}"
