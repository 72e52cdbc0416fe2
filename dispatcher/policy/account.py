"""The account that orders and pays is active."""

from __future__ import annotations

from dispatcher.policy.facts import Denial, Facts

RULE = "account"


def account(facts: Facts) -> Denial | None:
    if facts.account_status == "active":
        return None
    found = facts.account_status or "not known"
    return Denial(
        RULE,
        f"account {facts.account_sid} is {found}",
        "This service is not available at the moment.",
        403,
        10001,
    )
