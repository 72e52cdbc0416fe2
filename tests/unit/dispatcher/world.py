"""A small world to dispatch in: an account, its application, modules of three owners."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from callrouter.identity.accounts import Account
from callrouter.identity.addresses import Address
from dispatcher.dispatch import Dispatcher
from dispatcher.flows import Application, Instance
from dispatcher.grant import (
    BridgeGrant,
    Control,
    DocumentGrant,
    Refusal,
    Request,
)
from dispatcher.snapshot import Snapshot
from metering.interval import Cause
from modules.module import Layer, Module, Parameter, ParameterType
from modules.subscriptions import Scope, Subscription

AC = "AC" + "1" * 32
OTHER = "AC" + "2" * 32
AP = "AP" + "a" * 32
FOREIGN_AP = "AP" + "b" * 32
NUMBER = "+15550100"
MENU_URL = "http://127.0.0.1:8081/menu"
SURVEY_URL = "http://127.0.0.1:8082/survey"

ACCOUNT = Account(AC, "demo", "Demo", token="account-token", billing_number=NUMBER, plan="own")
MENU = Module(
    "acme.menu",
    "acme",
    Layer.APPLICATION,
    MENU_URL,
    secret="menu-secret",
    parameters=(Parameter("language", default="en"), Parameter("tries", ParameterType.INTEGER)),
    plan="menu",
)
SURVEY = Module("beta.survey", "beta", Layer.SERVICE, SURVEY_URL, secret="survey-secret", plan="survey")
PBX = Module("acme.pbx", "acme", Layer.SERVICE, "sip:pbx@10.0.0.1", is_open=True)
APPLICATION = Application(
    AP,
    "demo",
    AC,
    "menu",
    instances={
        "menu": Instance("menu", "acme.menu", (("greeting", "Hello"),)),
        "bridge": Instance(
            "bridge", "platform.bridge", (("target", "sip:agent@127.0.0.1:5082"), ("timeout", "20"))
        ),
        "survey": Instance("survey", "beta.survey"),
        "own": Instance("own", "demo.self", inlet="https://demo.example/own"),
    },
    edges={("menu", "agent"): "bridge", ("menu", "score"): "survey", ("menu", "mine"): "own"},
    events={("bridge", "ended"): "survey"},
)
FOREIGN = replace(APPLICATION, sid=FOREIGN_AP, account_sid=OTHER)


class Purse:
    def __init__(self, available: int = 1_000_000) -> None:
        self.left = available

    async def available(self, account_sid: str) -> int:
        return self.left


def world(**changes: Any) -> Snapshot:
    parts: dict[str, Any] = {
        "accounts": (ACCOUNT, Account(OTHER, "other", "Other")),
        "addresses": (Address(NUMBER, AC, NUMBER, f"app:{AP}"),),
        "modules": (MENU, SURVEY, PBX),
        "applications": (APPLICATION, FOREIGN),
        "subscriptions": (
            Subscription("acme.menu", Scope.ACCOUNT, AC),
            Subscription("beta.survey", Scope.NUMBER, NUMBER, plan="survey-gold"),
        ),
    }
    return Snapshot(**(parts | changes))


def request(target: str, cause: Cause = Cause.VERB, **changes: Any) -> Request:
    asked = Request(
        target=target,
        cause=cause,
        call_sid="CA1",
        session_sid="CA1",
        account_sid=AC,
        key_number=NUMBER,
        caller="+15550111",
        callee=NUMBER,
        current=None,
        now_ms=1_700_000_000_000,
    )
    return replace(asked, **changes)


def dispatcher(funds: int = 1_000_000, **changes: Any) -> Dispatcher:
    return Dispatcher(world(**changes), Purse(funds))


async def documents(target: str, cause: Cause = Cause.VERB, **changes: Any) -> DocumentGrant:
    answer = await dispatcher().dispatch(request(target, cause, **changes))
    assert isinstance(answer, DocumentGrant), answer
    return answer


async def in_menu() -> Control:
    return (await documents(f"app:{AP}", Cause.ARRIVAL)).control


async def in_bridge() -> Control:
    answer = await dispatcher().dispatch(request("sip:x@y", current=await in_menu()))
    assert isinstance(answer, BridgeGrant)
    return answer.control


async def refused(made: Dispatcher, asked: Request) -> Refusal:
    answer = await made.dispatch(asked)
    assert isinstance(answer, Refusal), answer
    return answer
