"""The key number is known here and active: otherwise there is nobody to meter the call to."""

from __future__ import annotations

from dispatcher.policy.facts import Denial, Facts, NumberState

RULE = "number"


def number(facts: Facts) -> Denial | None:
    """480 for a number that is switched off, 404 for one that is not the account's."""
    if facts.number is NumberState.ACTIVE:
        return None
    shown = facts.key_number or "(none)"
    if facts.number is NumberState.INACTIVE:
        return Denial(
            RULE,
            f"key number {shown} of account {facts.account_sid} is not active",
            "The number you have dialed is not in service.",
            480,
            21421,
        )
    return Denial(
        RULE,
        f"key number {shown} does not belong to account {facts.account_sid}",
        "The number you have dialed is not in service.",
        404,
        21421,
    )
