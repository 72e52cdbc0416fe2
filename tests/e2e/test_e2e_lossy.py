"""Calls over a network that loses, doubles and reorders a share of everything, both ways: SIPp calls a
number, whose document dials another SIPp, and each of the two legs has such a network of its own.

At 5 % no call is lost, and never is one doubled: not in calls, not in documents, not in intervals, not
in money.  `make trials` does it at 1, 5 and 20 % with more calls.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.e2e.addresses import free_port
from tests.e2e.books import Books
from tests.e2e.lossy import lossy
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.stage import Stage, answer_path, open_stage, prepaid
from tests.e2e.tracks import assert_partitioned

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)"),
]
MONEY = prepaid("1000", bridge="0.60")
TALK_MS = 600
LONGEST = 120
QUIETLY = ("-default_behaviors", "all,-bye,-abortunexp", "-max_retrans", "12")


@dataclass(frozen=True, slots=True)
class Outcome:
    calls: int
    """Sessions of the server."""
    placed: int
    """Calls that the caller took to their end."""
    answered: int
    """Dialogs that the callee answered."""
    network: str


async def bridged(
    stage: Stage, folder: Path, *, rate: float, seed: int, calls: int, per_second: int
) -> Outcome:
    """The caller is answered when the callee is, and hangs up after a while."""
    port = free_port()
    async with lossy(port, stage.server.sip_port, rate, seed) as network:
        number = stage.number(
            f'<Dial answerOnBridge="true"><Sip>sip:agent@127.0.0.1:{network.for_server}</Sip></Dial>'
        )
        callee = Sipp(
            "takes_lossy",
            f"127.0.0.1:{network.for_program}",
            folder / "callee",
            calls=10 * calls,
            port=port,
            seconds=LONGEST,
            values={"reached_at": network.for_server, "after_ms": _after_ms(rate)},
            options=QUIETLY,
        )
        taking = await callee.start()
        outcome = await _called(
            stage, folder / "caller", number, "hangs_up_lossy", rate, seed + 50, calls, per_second
        )
        await taking.stop()
    return replace(
        outcome, answered=len(_answered(callee)), network=f"{outcome.network}; to the callee {network.words}"
    )


async def spoken_to(
    stage: Stage, folder: Path, *, rate: float, seed: int, calls: int, per_second: int
) -> Outcome:
    """The server answers, and hangs up when its document is through."""
    number = stage.number('<Pause length="1"/><Say>Goodbye.</Say>')
    return await _called(stage, folder, number, "hears_out_lossy", rate, seed, calls, per_second)


async def _called(
    stage: Stage,
    folder: Path,
    number: str,
    scenario: str,
    rate: float,
    seed: int,
    calls: int,
    per_second: int,
) -> Outcome:
    port = free_port()
    async with lossy(port, stage.server.sip_port, rate, seed) as network:
        values = {"reached_at": network.for_server, "after_ms": _after_ms(rate), "talk_ms": TALK_MS}
        caller = Sipp(
            scenario,
            f"127.0.0.1:{network.for_program}",
            folder,
            number=number,
            calls=calls,
            rate=per_second,
            port=port,
            seconds=LONGEST,
            values=values,
            options=QUIETLY,
        )
        calling = await caller.start()
        await calling.finish(LONGEST + 10)
        inbound = [call for call in await stage.server.calls(To=number) if call["direction"] == "inbound"]
        sessions = await asyncio.gather(*(stage.server.session(call["sid"], 100) for call in inbound))
    for session in sessions:
        assert_partitioned(session)
    asked = stage.documents.requests(answer_path(number))
    assert len(asked) == len({a.form["CallSid"] for a in asked}) == len({a.form["SipCallId"] for a in asked})
    placed = int(caller.statistics()["SuccessfulCall(C)"])
    return Outcome(len(sessions), placed, 0, f"to the caller {network.words}")


def _after_ms(rate: float) -> int:
    """How long a program that is through answers what comes again."""
    return 1500 if rate <= 0.05 else 8000


def _answered(callee: Sipp) -> set[str]:
    """Call-IDs of the INVITEs that the callee took."""
    messages = callee.messages().split("UDP message ")
    taken = [m for m in messages if "\nINVITE " in m or "\rINVITE " in m]
    return {message.split("Call-ID: ")[1].split()[0] for message in taken}


def assert_nothing_doubled(stage: Stage) -> None:
    books = Books(stage.server.folder / "data")
    books.assert_closed()
    books.assert_balanced()
    books.assert_charged_as_metered()
    rows = books.rows("SELECT sip_call_id, count(*) AS times FROM calls GROUP BY sip_call_id")
    assert [row for row in rows if row["times"] > 1] == []
    charges = books.rows("SELECT call_sid, module, mode, count(*) AS times FROM charges GROUP BY 1, 2, 3")
    assert [row for row in charges if row["times"] > 1] == []


async def test_at_five_percent_no_call_is_lost_and_none_doubled(tmp_path: Path) -> None:
    async with open_stage(tmp_path, **MONEY) as stage:
        through, to_us = await asyncio.gather(
            bridged(stage, tmp_path / "bridged", rate=0.05, seed=5, calls=30, per_second=15),
            spoken_to(stage, tmp_path / "spoken", rate=0.05, seed=7, calls=30, per_second=15),
        )
        assert (through.calls, through.placed, through.answered) == (30, 30, 30), through
        assert (to_us.calls, to_us.placed) == (30, 30), to_us
        assert_nothing_doubled(stage)
