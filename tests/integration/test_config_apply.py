"""Applying the declared state to a real database, again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from callrouter.config import Config, parse_config
from callrouter.declared.apply import apply, pending
from callrouter.declared.difference import Action, rendered
from callrouter.errors import ConfigurationError
from callrouter.identity.secrets import SecretBox
from callrouter.identity.tables import accounts, addresses
from callrouter.storage.database import Database
from dispatcher.rows import load_snapshot
from metering.tables import ledger_entries, plan_versions
from modules.subscriptions import Scope
from modules.tables import modules

AC = "AC" + "1" * 32
BOX = SecretBox(bytes(32))
FILE = f"""\
owners: {{acme: {{name: Acme}}}}
accounts:
  demo: {{sid: {AC}, token: 0123456789abcdef, plan: own}}
plans:
  own: {{prices: {{application: "0.02"}}}}
modules:
  acme.menu:
    inlet: https://acme.example/menu
    secret: menu-secret
    outlets: [agent]
    parameters: {{tries: {{type: integer, default: 3}}}}
applications:
  line:
    account: demo
    start: menu
    instances:
      menu: {{module: acme.menu, parameters: {{tries: 2}}}}
      desk: {{module: platform.bridge, parameters: {{target: "sip:a@127.0.0.1"}}}}
      own: {{module: self, url: "https://demo.example/"}}
    flow: {{menu.agent: desk}}
    events: {{desk.ended: own, desk.failed: "app:line"}}
addresses:
  "+15550100": {{account: demo, target: app:line}}
  "client:bob": {{account: demo, target: "app:line/own"}}
subscriptions:
  - {{module: acme.menu, application: line, ends: 2030-01-01T00:00:00Z}}
policy:
  banned: [{{party: caller, pattern: "+1900 5*"}}]
credits:
  - {{account: demo, amount: 2.50, key: opening}}
"""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield opened
    await opened.close()


def _config(file: str = FILE) -> Config:
    return parse_config(file, file="config.yaml", environment={})


async def _apply(database: Database, file: str = FILE, now_ms: int = 1000) -> str:
    return rendered(await apply(_config(file), database, BOX, currency="USD", now_ms=now_ms))


async def test_the_dispatcher_finds_all_that_was_declared(database: Database) -> None:
    await _apply(database)
    snapshot = await load_snapshot(database, BOX, _config().dispatcher)
    mapping = snapshot.mapping("+15550100")
    assert mapping is not None
    [application] = snapshot.applications.values()
    assert mapping.target == f"app:{application.sid}"
    assert application.instances["own"].module == "demo.self"
    assert application.instances["menu"].parameters == (("tries", "2"),)
    assert application.next("menu", "agent") == application.instances["desk"]
    assert application.on("desk", "ended") == f"app:{application.sid}/own"
    assert application.on("desk", "failed") == f"app:{application.sid}"
    bob = snapshot.mapping("client:bob")
    assert bob is not None
    assert (bob.target, bob.key_number) == (f"app:{application.sid}/own", "+15550100")
    account = snapshot.account(AC)
    assert account is not None
    assert (account.token, account.billing_number, account.currency) == (
        "0123456789abcdef",
        "+15550100",
        "USD",
    )
    menu = snapshot.modules.get("acme.menu")
    assert menu is not None
    assert (menu.secret, menu.outlets, menu.defaults) == ("menu-secret", ("agent",), {"tries": "3"})
    granted = snapshot.subscriptions.entitlement(
        "acme.menu", number="", application=application.sid, account=AC, now_ms=0
    )
    assert granted.subscription is not None
    assert granted.subscription.scope is Scope.APPLICATION
    assert [ban.pattern for ban in snapshot.bans(AC)] == ["+1900 5*"]


async def test_no_secret_is_stored_in_clear_text(database: Database, tmp_path: Path) -> None:
    await _apply(database)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("state.db*"))
    assert b"+15550100" in stored
    assert b"0123456789abcdef" not in stored
    assert b"menu-secret" not in stored


async def test_applied_again_nothing_is_written(database: Database) -> None:
    await _apply(database)
    assert await _apply(database) == "nothing changed since the last apply"


async def test_what_others_changed_stays_where_the_file_did_not(database: Database) -> None:
    await _apply(database)
    await database.write((update(addresses).values(target="https://api.example/"), None))
    edited = FILE.replace("target: app:line}", "target: app:line, method: GET}")
    assert await _apply(database, edited) == "~ addresses +15550100\n    method: 'POST' -> 'GET'"
    [row] = await database.read(select(addresses).where(addresses.c.address == "+15550100"))
    assert (row["target"], row["method"]) == ("https://api.example/", "GET")


async def test_a_new_token_is_sealed_anew_and_not_shown(database: Database) -> None:
    await _apply(database)
    shown = await _apply(database, FILE.replace("0123456789abcdef", "fedcba9876543210"))
    assert shown == f"~ accounts {AC}\n    token: (secret, changed)"
    snapshot = await load_snapshot(database, BOX, _config().dispatcher)
    assert snapshot.accounts.authenticated(AC, "fedcba9876543210") is not None
    assert snapshot.accounts.authenticated(AC, "0123456789abcdef") is None


async def test_removal_disables_what_the_file_made_and_nothing_else(database: Database) -> None:
    await _apply(database)
    others = {
        "address": "+15550199",
        "account_sid": AC,
        "key_number": "+15550199",
        "target": "https://api.example/",
        "method": "POST",
        "fallback": "",
        "fallback_method": "POST",
        "status_callback": "",
        "status_callback_method": "POST",
        "active": True,
        "managed_by": "api",
    }
    await database.write((insert(addresses), others))
    kept = FILE.partition("addresses:")[0]
    await _apply(database, kept)
    rows = {row["address"]: row["active"] for row in await database.read(select(addresses))}
    assert rows == {"+15550100": False, "client:bob": False, "+15550199": True}
    snapshot = await load_snapshot(database, BOX, _config().dispatcher)
    assert snapshot.bans(AC) == ()
    await _apply(database)
    rows = {row["address"]: row["active"] for row in await database.read(select(addresses))}
    assert rows["+15550100"]


async def test_an_account_that_is_removed_is_suspended(database: Database) -> None:
    await _apply(database)
    await _apply(database, "owners: {acme: {name: Acme}}\n")
    [row] = await database.read(select(accounts))
    assert row["status"] == "suspended"
    [menu] = await database.read(select(modules).where(modules.c.code == "acme.menu"))
    assert not menu["active"]


async def test_a_changed_price_is_a_new_version_and_an_unchanged_one_is_not(database: Database) -> None:
    await _apply(database, now_ms=1000)
    await _apply(database, now_ms=2000)
    shown = await _apply(database, FILE.replace('"0.02"', '"0.03"'), now_ms=3000)
    assert shown.startswith("~ plans own")
    rows = await database.read(select(plan_versions).order_by(plan_versions.c.version))
    assert [(row["version"], row["valid_from_ms"]) for row in rows] == [(1, 1000), (2, 3000)]


async def test_a_credit_is_given_once_whatever_happens_to_the_file(database: Database) -> None:
    await _apply(database)
    without = FILE.partition("credits:")[0]
    await _apply(database, without)
    await _apply(database)
    rows = await database.read(select(ledger_entries))
    assert sorted(row["amount_micro"] for row in rows) == [-2_500_000, 2_500_000]


async def test_a_credit_cannot_be_rewritten(database: Database) -> None:
    await _apply(database)
    with pytest.raises(ConfigurationError, match="given already"):
        await _apply(database, FILE.replace("2.50", "3.50"))


async def test_an_account_keeps_its_sid(database: Database) -> None:
    await _apply(database)
    with pytest.raises(ConfigurationError, match=r"accounts\.demo\.sid: it was AC1111"):
        await _apply(database, FILE.replace(AC, "AC" + "2" * 32))


async def test_what_the_api_looks_after_is_not_the_files_to_write(database: Database) -> None:
    await _apply(database)
    taken = update(addresses).where(addresses.c.address == "+15550100").values(managed_by="api")
    await database.write((taken, None))
    with pytest.raises(ConfigurationError, match="looked after by the API"):
        await _apply(database, FILE.replace("target: app:line}", "target: app:line, method: GET}"))
    # Taking it out of the file is fine, and leaves it alone.
    without = FILE.replace('  "+15550100": {account: demo, target: app:line}\n', "")
    await _apply(
        database, without.replace("{account: demo, target:", "{account: demo, key_number: +15550102, target:")
    )
    [row] = await database.read(select(addresses).where(addresses.c.address == "+15550100"))
    assert row["active"]


async def test_a_collision_with_what_is_there_is_told_as_one(database: Database) -> None:
    await _apply(database)
    await database.write((update(accounts).values(code="taken", managed_by="api"), None))
    other = f"accounts: {{taken: {{sid: AC{'2' * 32}, token: 0123456789abcdef}}}}\n"
    with pytest.raises(ConfigurationError, match=r"collide with: .*accounts\.code"):
        await _apply(database, other)


async def test_pending_shows_and_writes_nothing(database: Database) -> None:
    changes = await pending(_config(), database, currency="USD")
    assert {change.action for change in changes} == {Action.ADD}
    assert await database.read(select(accounts)) == []
