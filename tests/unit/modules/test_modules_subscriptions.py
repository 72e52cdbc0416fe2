from __future__ import annotations

import pytest

from modules.subscriptions import Entitlement, Scope, Subscription, Subscriptions, SubscriptionState

NUMBER = Subscription("beta.survey", Scope.NUMBER, "+1", plan="n")
APPLICATION = Subscription("beta.survey", Scope.APPLICATION, "AP", plan="a")
ACCOUNT = Subscription("beta.survey", Scope.ACCOUNT, "AC", plan="c")


def _ask(*held: Subscription, now_ms: int = 100) -> Entitlement:
    return Subscriptions(held).entitlement(
        "beta.survey", number="+1", application="AP", account="AC", now_ms=now_ms
    )


@pytest.mark.parametrize(
    ("held", "plan"),
    [((ACCOUNT, NUMBER, APPLICATION), "n"), ((ACCOUNT, APPLICATION), "a"), ((ACCOUNT,), "c")],
)
def test_the_nearest_subscription_wins(held: tuple[Subscription, ...], plan: str) -> None:
    entitlement = _ask(*held)
    assert entitlement.granted
    assert entitlement.subscription is not None
    assert entitlement.subscription.plan == plan


def test_a_number_can_switch_off_what_its_account_has_on() -> None:
    off = Subscription("beta.survey", Scope.NUMBER, "+1", state=SubscriptionState.OFF)
    assert not _ask(ACCOUNT, off).granted


@pytest.mark.parametrize(("now_ms", "granted"), [(99, False), (100, True), (199, True), (200, False)])
def test_periods_are_half_open(now_ms: int, granted: bool) -> None:
    period = Subscription("beta.survey", Scope.NUMBER, "+1", starts_ms=100, ends_ms=200)
    entitlement = _ask(period, now_ms=now_ms)
    assert entitlement.granted is granted
    assert (entitlement.missed is None) is granted


def test_out_of_its_period_a_nearer_one_does_not_hide_a_wider_one() -> None:
    ended = Subscription("beta.survey", Scope.NUMBER, "+1", ends_ms=50)
    assert _ask(ended, ACCOUNT).granted


def test_others_subscriptions_do_not_count() -> None:
    foreign = Subscription("beta.survey", Scope.NUMBER, "+2")
    assert _ask(foreign, Subscription("acme.menu", Scope.NUMBER, "+1")) == Entitlement(None)
    assert (
        not Subscriptions([Subscription("beta.survey", Scope.APPLICATION, "")])
        .entitlement("beta.survey", number="", application="", account="", now_ms=0)
        .granted
    )
