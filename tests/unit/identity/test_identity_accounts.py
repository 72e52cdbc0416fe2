from __future__ import annotations

import pytest

from callrouter.identity.accounts import Account, Accounts, AccountStatus, ApiKey
from callrouter.identity.secrets import digest

PARENT, CHILD, OTHER = ("AC" + digit * 32 for digit in "123")
ACCOUNTS = Accounts(
    [
        Account(PARENT, "parent", "Parent", token="parent-token"),
        Account(CHILD, "child", "Child", parent=PARENT, token="child-token", status=AccountStatus.SUSPENDED),
        Account(OTHER, "other", "Other"),
    ],
    [
        ApiKey("SK1", CHILD, digest("key-secret")),
        ApiKey("SK2", CHILD, digest("key-secret"), active=False),
        ApiKey("SK3", "AC-gone", digest("key-secret")),
    ],
)


@pytest.mark.parametrize(
    ("user", "password", "proven"),
    [
        (PARENT, "parent-token", PARENT),
        (CHILD, "child-token", CHILD),
        (PARENT, "child-token", None),
        (PARENT, "", None),
        (PARENT, "pärent-token", None),
        ("AC" + "9" * 32, "parent-token", None),
        ("", "", None),
        (OTHER, "", None),
        (OTHER, "no account has this token, but comparing with it takes as long", None),
        ("SK1", "key-secret", CHILD),
        ("SK1", "wrong", None),
        ("SK2", "key-secret", None),
        ("SK3", "key-secret", None),
        ("SK9", "key-secret", None),
    ],
)
def test_only_the_right_token_proves_an_account(user: str, password: str, proven: str | None) -> None:
    account = ACCOUNTS.authenticated(user, password)
    assert (account.sid if account else None) == proven


def test_a_parent_may_act_for_its_subaccounts_and_nobody_else() -> None:
    parent, child = ACCOUNTS.get(PARENT), ACCOUNTS.get(CHILD)
    assert parent is not None
    assert child is not None
    assert ACCOUNTS.may_act_for(parent, PARENT)
    assert ACCOUNTS.may_act_for(parent, CHILD)
    assert not ACCOUNTS.may_act_for(child, PARENT)
    assert not ACCOUNTS.may_act_for(parent, OTHER)
    assert not ACCOUNTS.may_act_for(parent, "AC-unknown")


def test_accounts_that_are_each_others_parents_do_not_hang() -> None:
    circle = Accounts([Account("A", "a", "a", parent="B"), Account("B", "b", "b", parent="A")])
    other = Account("C", "c", "c")
    assert not circle.may_act_for(other, "A")


def test_a_token_is_not_shown() -> None:
    assert "parent-token" not in repr(ACCOUNTS.get(PARENT))
