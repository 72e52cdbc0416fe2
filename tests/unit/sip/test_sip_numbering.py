"""Numbers as carriers write them, and who calls, as carriers say it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrouter.sip.protocol.identity import Caller, caller_of, visible_headers
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.numbering import Bare, NumberFormat, Rewrite, Style, owns

BRITISH = NumberFormat(Style.NATIONAL, "44")
AMERICAN = NumberFormat(Style.DIGITS, "1", "", "011", Bare.INTERNATIONAL)


@pytest.mark.parametrize(
    ("numbers", "written", "meant"),
    [
        (BRITISH, "02071838750", "+442071838750"),
        (BRITISH, "0012125550100", "+12125550100"),
        (BRITISH, "+44 20 7183-8750", "+442071838750"),
        (BRITISH, "2071838750", "2071838750"),
        (BRITISH, "999", "999"),
        (BRITISH, "alice", "alice"),
        (BRITISH, "*21*1", "*21*1"),
        (BRITISH, "", ""),
        (AMERICAN, "12125550100", "+12125550100"),
        (AMERICAN, "011442071838750", "+442071838750"),
        (AMERICAN, "911", "911"),
        (NumberFormat(country_code="44", bare=Bare.NATIONAL), "2071838750", "+442071838750"),
        (NumberFormat(), "02071838750", "02071838750"),
        (NumberFormat(rules_in=(Rewrite("99", "+"), Rewrite("9", "+1"))), "99442071838750", "+442071838750"),
        (NumberFormat(rules_in=(Rewrite("99", "+"), Rewrite("9", "+1"))), "92125550100", "+12125550100"),
    ],
)
def test_what_a_carrier_writes_is_understood(numbers: NumberFormat, written: str, meant: str) -> None:
    assert numbers.incoming(written) == meant


@pytest.mark.parametrize(
    ("numbers", "meant", "written"),
    [
        (BRITISH, "+442071838750", "02071838750"),
        (BRITISH, "+12125550100", "0012125550100"),
        (AMERICAN, "+442071838750", "442071838750"),
        (NumberFormat(), "+442071838750", "+442071838750"),
        (NumberFormat(Style.INTERNATIONAL), "+442071838750", "00442071838750"),
        (NumberFormat(Style.DIGITS, rules_out=(Rewrite("44", "7#44"),)), "+442071838750", "7#442071838750"),
        (BRITISH, "999", "999"),
        (BRITISH, "*21#", "*21#"),
    ],
)
def test_what_a_carrier_wants_is_written(numbers: NumberFormat, meant: str, written: str) -> None:
    assert numbers.outgoing(meant) == written


@given(
    st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True),
    st.sampled_from([BRITISH, AMERICAN, NumberFormat(), NumberFormat(Style.INTERNATIONAL)]),
)
@settings(max_examples=200)
def test_every_number_comes_back_as_it_went(number: str, numbers: NumberFormat) -> None:
    assert numbers.incoming(numbers.outgoing(number)) == number


@given(st.text(max_size=40))
@settings(max_examples=200)
def test_nothing_that_stands_for_a_number_breaks(text: str) -> None:
    BRITISH.incoming(text)
    BRITISH.outgoing(text)


def test_a_trunk_owns_numbers_and_whole_ranges() -> None:
    owned = ("+442071838750", "+4420718387*")
    assert [owns(owned, n) for n in ("+442071838750", "+442071838799", "+442071838", "442071838750")] == [
        True,
        True,
        False,
        False,
    ]


def invite(*fields: tuple[str, str], sender: str = "<sip:02071838751@c.example>;tag=1") -> Request:
    return Request("INVITE", "sip:x@y", [("From", sender), *fields])


@pytest.mark.parametrize(
    ("fields", "caller"),
    [
        ((), Caller("sip:+442071838751@c.example")),
        (
            (("P-Asserted-Identity", '"Ann" <sip:02071838799@c.example>, <tel:+1>'),),
            Caller("sip:+442071838799@c.example", "Ann"),
        ),
        ((("P-Asserted-Identity", "<tel:+442071838799>"),), Caller("tel:+442071838799")),
        ((("P-Asserted-Identity", "nonsense <"),), Caller("sip:+442071838751@c.example")),
        (
            (("Remote-Party-ID", '"Ann" <sip:02071838799@c.example>;party=calling;screen=yes'),),
            Caller("sip:+442071838799@c.example", "Ann"),
        ),
        (
            (("Remote-Party-ID", "<sip:02071838799@c.example>;party=called"),),
            Caller("sip:+442071838751@c.example"),
        ),
        (
            (("Remote-Party-ID", "<sip:02071838799@c.example>;privacy=full"),),
            Caller("sip:anonymous@anonymous.invalid", "Anonymous"),
        ),
        (
            (("P-Asserted-Identity", "<sip:02071838799@c.example>"), ("Privacy", "critical;id")),
            Caller("sip:anonymous@anonymous.invalid", "Anonymous"),
        ),
        (
            (("P-Asserted-Identity", "<sip:02071838799@c.example>"), ("Privacy", "none")),
            Caller("sip:+442071838799@c.example"),
        ),
    ],
)
def test_who_calls_is_whom_a_trusted_carrier_vouches_for(
    fields: tuple[tuple[str, str], ...], caller: Caller
) -> None:
    assert caller_of(invite(*fields), BRITISH, is_trusted=True) == caller


def test_strangers_vouch_for_nobody() -> None:
    sent = invite(("P-Asserted-Identity", "<sip:+1@x>"), ("Privacy", "id"))
    assert caller_of(sent, BRITISH, is_trusted=False) == Caller("sip:02071838751@c.example")


def test_headers_for_trusted_parties_are_hidden_from_applications_otherwise() -> None:
    headers = {"X-A": "1", "P-Asserted-Identity": "<sip:+1@x>", "Diversion": "<sip:02071838750@x>;reason=no"}
    assert visible_headers(headers, BRITISH, is_trusted=False) == {"X-A": "1"}
    assert visible_headers(headers, BRITISH, is_trusted=True)["Diversion"] == "<sip:+442071838750@x>"
