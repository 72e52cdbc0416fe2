"""Who may use a module: subscriptions of a number, an application or an account.

The nearest one that is in its period decides, on or off: a number can switch off what its account
has switched on.  Pure.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


class Scope(enum.Enum):
    """What a subscription is for, nearest first."""

    NUMBER = "number"
    APPLICATION = "application"
    ACCOUNT = "account"


class SubscriptionState(enum.Enum):
    ACTIVE = "active"
    OFF = "off"
    """Switched off by whoever it serves; hides wider subscriptions."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A module active for a subject.  The period is half-open, `[starts_ms, ends_ms)` in UTC
    milliseconds; None leaves that side open."""

    module: str
    scope: Scope
    subject: str
    """E.164 number, AP… or AC…."""
    plan: str = ""
    """Usage plan agreed on, "" for the module's default."""
    starts_ms: int | None = None
    ends_ms: int | None = None
    state: SubscriptionState = SubscriptionState.ACTIVE

    def covers(self, now_ms: int) -> bool:
        return (self.starts_ms is None or self.starts_ms <= now_ms) and (
            self.ends_ms is None or now_ms < self.ends_ms
        )


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What the subscriptions say about one module for one call."""

    subscription: Subscription | None
    """The nearest in its period, None when there is none."""
    missed: Subscription | None = None
    """The nearest out of its period, to say why there is none."""

    @property
    def granted(self) -> bool:
        return self.subscription is not None and self.subscription.state is SubscriptionState.ACTIVE


class Subscriptions:
    """An unchanging set of subscriptions, found by module and subject."""

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._by_subject: defaultdict[tuple[str, Scope, str], list[Subscription]] = defaultdict(list)
        for subscription in subscriptions:
            key = (subscription.module, subscription.scope, subscription.subject)
            self._by_subject[key].append(subscription)

    def entitlement(
        self, module: str, *, number: str, application: str, account: str, now_ms: int
    ) -> Entitlement:
        """What applies to `module` on a call metered to `number` in `application` of `account`."""
        missed = None
        for scope, subject in (
            (Scope.NUMBER, number),
            (Scope.APPLICATION, application),
            (Scope.ACCOUNT, account),
        ):
            found = self._by_subject.get((module, scope, subject), ()) if subject else ()
            for subscription in found:
                if subscription.covers(now_ms):
                    return Entitlement(subscription)
                missed = missed or subscription
        return Entitlement(None, missed)
