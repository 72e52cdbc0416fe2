"""A prepaid account has something left to spend."""

from __future__ import annotations

from dispatcher.policy.facts import Denial, Facts

RULE = "prepaid"


def prepaid(facts: Facts) -> Denial | None:
    if not facts.prepaid or facts.available > 0:
        return None
    return Denial(
        RULE,
        f"prepaid account {facts.account_sid} has nothing left to spend",
        "There is not enough credit for this call.",
        402,
    )
