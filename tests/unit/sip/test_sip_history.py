"""Where a call has been, as its INVITE says."""

from __future__ import annotations

import pytest

from callrouter.ports import History
from callrouter.sip.protocol import history
from callrouter.sip.protocol.message import Request
from callrouter.sip.trunks import AS_WRITTEN

MARK, OTHER = "0123456789abcdef", "fedcba9876543210"


def read(*fields: tuple[str, str], is_trusted: bool = True) -> History:
    return history.read(Request("INVITE", "sip:+1@h", list(fields)), AS_WRITTEN, is_trusted=is_trusted)


def users(past: History) -> list[str]:
    return [uri.partition(":")[2].partition("@")[0] for uri in past.diverted_by]


@pytest.mark.parametrize(
    ("value", "hops"), [("12", 12), (" 0 ", 0), ("70", 70), ("255", 70), ("twelve", 70), ("-1", 70)]
)
def test_max_forwards_counts_down_and_never_begins_above_ours(value: str, hops: int) -> None:
    assert read(("Max-Forwards", value)).hops_left == hops


def test_marks_are_read_over_several_headers_and_nothing_else_is_taken_for_one() -> None:
    written = history.chain_fields((MARK, OTHER))
    assert read(*written).marks == (MARK, OTHER)
    assert read(*written, ("Callrouter-Chain", f"x, {OTHER},,\t{'0' * 99}")).marks == (MARK, OTHER, OTHER)
    assert len(read(("Callrouter-Chain", ",".join([MARK] * 500))).marks) == history.MOST_MARKS
    assert history.chain_fields(()) == ()
    assert read(*written, is_trusted=False).marks == (MARK, OTHER), "they name nobody"


def test_diversions_come_latest_first_and_from_trusted_parties_alone() -> None:
    fields = (
        ("Diversion", "<sip:+44201@c>;reason=no-answer;counter=1, <sip:+44202@c>;reason=unconditional"),
        ("Diversion", "broken <"),
        ("Diversion", '"The office, and more" <tel:+44203>;reason=user-busy'),
    )
    assert users(read(*fields)) == ["+44201", "+44202", "+44203"]
    assert users(read(*fields, is_trusted=False)) == []


def test_of_a_history_those_count_who_did_not_want_the_call() -> None:
    entries = (
        "<sip:+1@c>;index=1,<sip:+2@c;cause=302>;index=1.1,<sip:+2@10.0.0.1>;index=1.1.1",
        "<sip:+3@c;cause=486>;index=1.1.1.1",
    )
    fields = tuple(("History-Info", entry) for entry in entries)
    assert users(read(*fields)) == ["+2", "+1"]
    assert users(read(*fields, ("Diversion", "<sip:+9@c>"))) == ["+9"]
