"""Tokens that let a party move a call by SIP: good once, for one call and one target, for a while."""

from __future__ import annotations

import pytest

from callrouter.calls.transfer_tokens import TransferTokens

CALL, OTHER = "CA" + "1" * 32, "CA" + "2" * 32
TARGET = "module:acme.survey?lang=en"


def test_a_token_moves_its_call_once() -> None:
    tokens = TransferTokens()
    token = tokens.issue(CALL, TARGET, 1000)
    assert tokens.redeem(token, TARGET, [OTHER, CALL], 500) == CALL
    assert tokens.redeem(token, TARGET, [OTHER, CALL], 501) == ""


@pytest.mark.parametrize(
    ("target", "calls", "now_ms"),
    [
        ("module:acme.other", [CALL], 500),
        (TARGET + " ", [CALL], 500),
        (TARGET, [OTHER], 500),
        (TARGET, [], 500),
        (TARGET, [CALL], 1000),
        (TARGET, [CALL], 10**12),
    ],
)
def test_what_it_was_not_given_out_for_is_refused_and_leaves_it_good(
    target: str, calls: list[str], now_ms: int
) -> None:
    tokens = TransferTokens()
    token = tokens.issue(CALL, TARGET, 1000)
    assert tokens.redeem(token, target, calls, now_ms) == ""
    assert tokens.redeem(token, TARGET, [CALL], 500) == CALL


def test_changing_a_single_character_spoils_it() -> None:
    tokens = TransferTokens()
    token = tokens.issue(CALL, TARGET, 1000)
    for index, character in enumerate(token):
        forged = token[:index] + ("x" if character != "x" else "y") + token[index + 1 :]
        assert tokens.redeem(forged, TARGET, [CALL], 500) == ""


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "\ud800.1.x", "0" * 10_000, "1.-5.x", "é.1.é"])
def test_rubbish_is_no_token(token: str) -> None:
    assert TransferTokens().redeem(token, TARGET, [CALL], 0) == ""


def test_a_token_of_another_server_is_none_of_ours() -> None:
    assert TransferTokens().redeem(TransferTokens().issue(CALL, TARGET, 1000), TARGET, [CALL], 0) == ""


def test_used_tokens_are_forgotten_when_nobody_could_use_them_again() -> None:
    tokens = TransferTokens()
    for number in range(1000):
        token = tokens.issue(CALL, TARGET, number + 10)
        assert tokens.redeem(token, TARGET, [CALL], number) == CALL
    assert len(tokens._used) <= 11
