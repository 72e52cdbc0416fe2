"""The fixed order of the rules: the first that refuses wins and is named (docs/design.md §4 rule 1).

The order is from what is wrong with the call to what is wrong with the purse: who is metered,
who takes part, who pays, what was agreed on, what is left.  The places between `subscription` and
`prepaid` belong to, in this order: bills overdue past their grace, usage limits, and geography,
concurrency and rate.  Funds stay last, because theirs is the rule that takes something.
"""

from __future__ import annotations

from collections.abc import Callable

from dispatcher.policy.account import account
from dispatcher.policy.banned import banned
from dispatcher.policy.facts import Denial, Facts
from dispatcher.policy.number import number
from dispatcher.policy.prepaid import prepaid
from dispatcher.policy.subscription import subscription

Rule = Callable[[Facts], Denial | None]

RULES: tuple[Rule, ...] = (number, banned, account, subscription, prepaid)


def judge(facts: Facts) -> Denial | None:
    """The first refusal, None when control is granted.  Emergency numbers pass every rule."""
    if facts.emergency:
        return None
    for rule in RULES:
        if denial := rule(facts):
            return denial
    return None
