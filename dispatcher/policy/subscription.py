"""The module is active for the number, the application or the account, in its period.

An account's own documents and the platform's modules need no subscription.
"""

from __future__ import annotations

from datetime import UTC, datetime

from dispatcher.policy.facts import Denial, Facts

RULE = "subscription"


def subscription(facts: Facts) -> Denial | None:
    """Names what is missing: the module, a subscription, or the days it was for."""
    if not facts.module_active:
        return _denial(f"module {facts.module} is not active")
    if facts.module_open or facts.entitlement.granted:
        return None
    if off := facts.entitlement.subscription:
        return _denial(f"module {facts.module} is switched off for {off.scope.value} {off.subject}")
    missed = facts.entitlement.missed
    if missed is None:
        return _denial(
            f"module {facts.module} has no subscription for number {facts.key_number}, its application "
            f"or account {facts.account_sid}"
        )
    if missed.starts_ms is not None and facts.now_ms < missed.starts_ms:
        return _denial(f"the subscription to {facts.module} begins on {_day(missed.starts_ms)}")
    return _denial(f"the subscription to {facts.module} ended on {_day(missed.ends_ms or 0)}")


def _denial(reason: str) -> Denial:
    return Denial(RULE, reason, "This service is not available on this number.", 403)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
