"""Calls that come round again, by our own marks and by what carriers tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from callrouter.calls.loops import Looped, Loops, TooFar
from callrouter.ports import History
from callrouter.testing.world import Callee
from tests.unit.calls.conftest import NUMBER

OUT = "+442071838750"
DIAL = f"<Response><Dial>{OUT}</Dial><Say>Back</Say></Response>"
HOUSE = Loops("of this house", 8)


async def test_a_call_that_goes_out_is_marked_and_has_one_server_less_to_pass(house: Any) -> None:
    built = house(DIAL, {OUT: Callee(status=486)})
    leg = built.ring()
    leg.history = History(30, ("0123456789abcdef",))
    await built.idle()
    order, _ = built.signalling.placed[0]
    assert order.hops == 29
    assert order.marks == ("0123456789abcdef", HOUSE.mark(NUMBER))
    assert NUMBER not in "".join(order.marks), "nobody else reads where a call has been"


@pytest.mark.parametrize(
    ("history", "status"),
    [
        (History(marks=(HOUSE.mark(NUMBER),)), 482),
        (History(marks=("0123456789abcdef", HOUSE.mark(NUMBER), "0123456789abcdee")), 482),
        (History(marks=tuple(f"{n:016x}" for n in range(8))), 482),
        (History(diverted_by=("sip:+4420@carrier.example", f"sip:{NUMBER}@carrier.example")), 482),
        (History(diverted_by=tuple(f"tel:+44{n}" for n in range(8))), 482),
        (History(marks=(Loops("of another house", 8).mark(NUMBER),)), 0),
        (History(marks=tuple(f"{n:016x}" for n in range(7))), 0),
        (History(diverted_by=(f"sip:{NUMBER}@carrier.example",)), 0),
    ],
    ids=[
        "own mark",
        "behind others",
        "many marks",
        "diverted",
        "many diversions",
        "stranger",
        "seven",
        "last",
    ],
)
async def test_a_call_that_has_been_here_is_refused_before_anything_runs(
    house: Any, history: History, status: int
) -> None:
    built = house("<Response><Reject/></Response>")
    leg = built.ring()
    leg.history = history
    await built.idle()
    assert leg.actions == ([f"reject {status}"] if status else ["reject 603"])
    assert bool(built.fetcher.requests) is (status == 0)


async def test_a_call_that_may_pass_no_more_servers_is_not_passed_on(house: Any) -> None:
    built = house(DIAL, {OUT: Callee()})
    leg = built.ring()
    leg.history = History(0)
    await built.idle()
    assert built.signalling.placed == []
    assert built.speech.said == ["Back"]
    assert "Max-Forwards" in built.log.warnings[0][1]


async def test_who_passed_a_call_on_is_told_to_the_application(house: Any) -> None:
    built = house("<Response><Reject/></Response>")
    leg = built.ring()
    leg.history = History(diverted_by=("sip:+442071838750@carrier.example", "sip:+4420@carrier.example"))
    await built.idle()
    asked = dict(built.fetcher.requests[0].parameters)
    assert (asked["ForwardedFrom"], asked["CalledVia"]) == (OUT, OUT)


def dialled(chain: tuple[str, ...], marks: tuple[str, ...] = (), hops_left: int = 70) -> Any:
    return cast(Any, SimpleNamespace(chain=chain, marks=marks, hops_left=hops_left))


def test_numbers_of_the_server_hand_a_call_on_as_often_as_others_and_no_further() -> None:
    loops = Loops("of this house", 3)
    loops.check_hosted("+3", dialled(("+1", "+2")))
    loops.check_departure("sip:bob@192.0.2.7", dialled(("+1", "+2", "+3")))
    with pytest.raises(Looped, match=r"\+4 is not called: .* 3 numbers"):
        loops.check_hosted("+4", dialled(("+1", "+2", "+3")))
    with pytest.raises(Looped, match="3 numbers"):
        loops.check_hosted("+4", dialled(("+1",), ("0123456789abcdef",) * 2))
    with pytest.raises(Looped, match=r"went from \+1 to \+2 to \+1"):
        loops.check_hosted("+1", dialled(("+1", "+2")))
    with pytest.raises(Looped, match=r"\+9 calls itself"):
        loops.check_hosted("+9", dialled(("+1",), (loops.mark("+9"),)))
    with pytest.raises(TooFar):
        loops.check_hosted("+2", dialled(("+1",), hops_left=0))
