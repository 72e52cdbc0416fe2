"""Nobody who takes part is on a banned list: caller, callee, owner or module."""

from __future__ import annotations

from dispatcher.policy.facts import Denial, Facts, Party

RULE = "banned"

_CODES = {Party.CALLER: 21216, Party.CALLEE: 13225}


def banned(facts: Facts) -> Denial | None:
    for ban in facts.bans:
        for text in facts.parties.get(ban.party, ()):
            if ban.covers(text):
                why = f": {ban.reason}" if ban.reason else ""
                return Denial(
                    RULE,
                    f"{ban.party.value} {text} is on a banned list ({ban.pattern}){why}",
                    "This call is not permitted.",
                    403,
                    _CODES.get(ban.party, 0),
                )
    return None
