"""The shipped configuration, applied to a database, dispatches the demonstration call."""

from __future__ import annotations

from pathlib import Path

from callrouter.config import load_config
from callrouter.declared.apply import apply
from callrouter.identity.secrets import SecretBox
from callrouter.storage.database import Database
from dispatcher.dispatch import Dispatcher
from dispatcher.grant import BridgeGrant, Control, DocumentGrant, Request
from dispatcher.rows import load_snapshot
from metering.interval import Cause, Mode

ROOT = Path(__file__).parents[2]
NUMBER = "+15550100"


class Purse:
    async def available(self, account_sid: str) -> int:
        return 1


def _request(target: str, cause: Cause, account_sid: str, current: Control | None = None) -> Request:
    return Request(target, cause, "CA1", "CA1", account_sid, NUMBER, "+15550111", NUMBER, current)


async def test_menu_desk_and_survey_take_turns(tmp_path: Path) -> None:
    config = load_config(ROOT / "config.yaml", {})
    box = SecretBox(bytes(32))
    database = await Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    try:
        await apply(config, database, box, currency=config.metering.currency, now_ms=0)
        dispatcher = Dispatcher(await load_snapshot(database, box, config.dispatcher), Purse())
    finally:
        await database.close()

    mapping = await dispatcher.number("sip:+15550100@127.0.0.1")
    assert mapping is not None
    menu = await dispatcher.dispatch(_request(mapping.target, Cause.ARRIVAL, mapping.account_sid))
    assert isinstance(menu, DocumentGrant)
    desk = await dispatcher.dispatch(
        _request("outlet:agent", Cause.OUTLET, mapping.account_sid, menu.control)
    )
    assert isinstance(desk, BridgeGrant)
    target = dispatcher.event(desk.control, "ended")
    assert target is not None
    survey = await dispatcher.dispatch(_request(target, Cause.EVENT, mapping.account_sid, desk.control))
    assert isinstance(survey, DocumentGrant)

    turns = [grant.control.holder for grant in (menu, desk, survey)]
    assert [(h.module, h.owner, h.mode, h.plan) for h in turns] == [
        ("acme.menu", "acme", Mode.APPLICATION, "menu"),
        ("platform.bridge", "platform", Mode.BRIDGE, "bridge"),
        ("beta.survey", "beta", Mode.SERVICE, "survey"),
    ]


async def test_the_second_number_runs_the_accounts_own_documents(tmp_path: Path) -> None:
    config = load_config(ROOT / "config.yaml", {})
    box = SecretBox(bytes(32))
    database = await Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    try:
        await apply(config, database, box, currency="USD", now_ms=0)
        dispatcher = Dispatcher(await load_snapshot(database, box, config.dispatcher), Purse())
    finally:
        await database.close()
    mapping = await dispatcher.number("+15550101")
    assert mapping is not None
    grant = await dispatcher.dispatch(
        Request(
            mapping.target,
            Cause.ARRIVAL,
            "CA1",
            "CA1",
            mapping.account_sid,
            mapping.key_number,
            "x",
            "y",
            None,
        )
    )
    assert isinstance(grant, DocumentGrant)
    assert grant.control.holder.module == "demo.self"
    assert grant.control.secret == config.accounts["demo"].token.get_secret_value()
