from __future__ import annotations

import pytest

from callrouter.identity.addresses import Address
from dispatcher.numbers import find, normalised


def _table(*addresses: str) -> dict[str, Address]:
    return {address: Address(address, "AC", "+15550100", "https://x/") for address in addresses}


@pytest.mark.parametrize(
    "received",
    [
        "+15550100",
        "15550100",
        "0015550100",
        "+1 (555) 0100",
        "tel:+1-555-0100",
        "sip:+15550100@127.0.0.1:5060;user=phone",
        "sip:15550100@carrier.example",
        "sips:+15550100;npdi@carrier.example",
        "sip:%2B15550100@carrier.example",
    ],
)
def test_every_spelling_of_a_number_finds_it(received: str) -> None:
    assert find(_table("+15550100"), received) is not None


def test_a_national_number_is_read_in_the_default_region() -> None:
    table = _table("+493012345678")
    assert find(table, "030 12345678") is None
    assert find(table, "030 12345678", "DE") is not None


def test_a_number_nobody_has_is_not_found() -> None:
    assert find(_table("+15550100"), "+15550199") is None
    assert find(_table("+15550100"), "") is None
    assert find(_table("+15550100"), "anonymous") is None


@pytest.mark.parametrize(
    ("listed", "received", "found"),
    [
        ("sip:alice@example.com", "sip:alice@EXAMPLE.com:5060;transport=tcp", True),
        ("sip:alice@example.com", "sip:alice@other.example", False),
        ("sip:alice", "sip:alice@whatever.example", True),
        ("sip:alice@example.com", "sip:Alice@example.com", False),
        ("sip:[2001:db8::1]", "sip:[2001:db8::1]", True),
        ("sips:alice@example.com", "sips:alice@example.com", True),
        ("sip:alice@[2001:db8::1]", "sip:alice@[2001:DB8::1]:5060", True),
        ("client:alice", "client:alice", True),
        ("client:alice", "client:bob", False),
    ],
)
def test_sip_users_match_by_user_and_host(listed: str, received: str, found: bool) -> None:
    assert (find(_table(listed), received) is not None) is found


def test_the_literal_spelling_outweighs_the_normalised_one() -> None:
    table = _table("15550100", "+15550100")
    hit = find(table, "15550100")
    assert hit is not None
    assert hit.address == "15550100"


@pytest.mark.parametrize("text", ["", "abc", "+", "٣٣٣", "+1555" * 30, "0" * 41])
def test_what_cannot_be_normalised_stays_as_received(text: str) -> None:
    assert normalised(text) == text
