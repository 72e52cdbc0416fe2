"""Applying the declared state to the database, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, and_, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from callrouter.declared.difference import Action, Base, Change, difference
from callrouter.declared.rows import CREDITS, PLANS, Row, rows
from callrouter.declared.state import State
from callrouter.declared.tables import declared_objects
from callrouter.errors import ConfigurationError
from callrouter.identity.secrets import SecretBox
from callrouter.identity.tables import accounts, addresses
from callrouter.storage.database import Database, Write
from callrouter.storage.statements import upsert
from dispatcher.tables import application_instances, applications, event_mappings, flow_edges, policy_lists
from metering.ledger import credit_transaction, writes
from metering.plan_book import load_plans
from modules.tables import modules, owners, subscriptions

CONFIG = "config"
"""`managed_by` of what configuration made."""

_TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        owners,
        accounts,
        modules,
        applications,
        application_instances,
        flow_edges,
        event_mappings,
        addresses,
        subscriptions,
        policy_lists,
    )
}
_REMEMBER = upsert(declared_objects, ["kind", "key"])
_FORGET = delete(declared_objects).where(
    and_(declared_objects.c.kind == bindparam("b_kind"), declared_objects.c.key == bindparam("b_key"))
)
_SEALED_FOR = {"accounts": "account", "modules": "module"}
"""What a sealed secret belongs to, as `identity/rows.py` and `modules/rows.py` open them."""


async def pending(state: State, database: Database, *, currency: str) -> list[Change]:
    """What `apply` would do.  Raises `ConfigurationError` for what it would refuse."""
    changes = difference(rows(state, currency), await _base(database))
    _refuse_rewriting(changes)
    await _refuse_others(changes, database)
    return changes


async def apply(
    state: State, database: Database, box: SecretBox, *, currency: str, now_ms: int
) -> list[Change]:
    """Write what changed in the file since it was last applied, and return it.  `currency` is that
    of accounts and plans that name none.  Raises `ConfigurationError` where the file and somebody
    else want the same object, or would rewrite history."""
    changes = await pending(state, database, currency=currency)
    # New versions of plans first: nothing may refer to a plan that is not there.
    await load_plans(
        database,
        {code: plan.content() for code, plan in state.plans.items()},
        now_ms=now_ms,
        currency=currency,
    )
    statements = [write for change in changes for write in _writes(change, box, now_ms)]
    try:
        await database.write(*statements)
    except IntegrityError as error:
        raise ConfigurationError(
            f"the database has something that the file's declarations collide with: {error.orig}"
        ) from error
    return changes


async def _base(database: Database) -> Base:
    found = await database.read(select(declared_objects))
    return {(row["kind"], row["key"]): json.loads(row["content"]) for row in found}


def _refuse_rewriting(changes: Sequence[Change]) -> None:
    for change in changes:
        if change.table == CREDITS and change.action is Action.CHANGE:
            raise ConfigurationError(
                f"credits: {change.key} was given already, with another amount or currency; "
                "expected a new key for a new credit"
            )
    new = {
        c.row.columns["code"] for c in changes if c.row and c.table == "accounts" and c.action is Action.ADD
    }
    for change in changes:
        if change.table == "accounts" and change.action is Action.DISABLE and change.then["code"] in new:
            raise ConfigurationError(
                f"accounts.{change.then['code']}.sid: it was {change.key} and cannot change; "
                "expected the old sid, or another key for a new account"
            )


async def _refuse_others(changes: Iterable[Change], database: Database) -> None:
    """An object that the API looks after is not the file's to write."""
    theirs: dict[str, set[str]] = {}
    for change in changes:
        table = _TABLES.get(change.table)
        if table is None or change.row is None:
            continue
        if change.table not in theirs:
            found = await database.read(select(table).where(table.c.managed_by != CONFIG))
            keys = [column.name for column in table.primary_key.columns]
            theirs[change.table] = {" ".join(row[name] for name in keys) for row in found}
        if change.key in theirs[change.table]:
            raise ConfigurationError(
                f"{change.table}: {change.key} is looked after by the API; expected it in one place: "
                "take it out of the file, or delete it there first"
            )


def _writes(change: Change, box: SecretBox, now_ms: int) -> Iterator[Write]:
    row = change.row
    if row is None:
        yield from _disabling(change)
        yield _FORGET, {"b_kind": change.table, "b_key": change.key}
        return
    if row.table == CREDITS:
        yield from _crediting(row, now_ms)
    elif row.table != PLANS:
        yield _upserting(change, row, box)
    content = json.dumps(dict(row.columns))
    remembered = {"kind": row.table, "key": change.key, "content": content, "applied_ms": now_ms}
    yield _REMEMBER, remembered


def _upserting(change: Change, row: Row, box: SecretBox) -> Write:
    sealed = {
        f"{name}_sealed": box.seal(secret, belongs_to=f"{_SEALED_FOR[row.table]}:{change.key}")
        for name, secret in row.secrets.items()
    }
    written = list(change.columns)
    written += [name for name in sealed if name.replace("_sealed", "_sha256") in change.columns]
    values: dict[str, Any] = {**row.key, **row.columns, **sealed, "managed_by": CONFIG}
    return upsert(_TABLES[row.table], list(row.key), update=written), values


def _disabling(change: Change) -> Iterator[Write]:
    table = _TABLES.get(change.table)
    if table is None:
        return
    keys = [column.name for column in table.primary_key.columns]
    matching = [table.c[name] == bindparam(f"b_{name}") for name in keys]
    disabled = {"status": "suspended"} if table is accounts else {"active": False}
    statement = update(table).where(and_(table.c.managed_by == CONFIG, *matching)).values(**disabled)
    # The key's last part is the only one that may contain blanks.
    parts = change.key.split(" ", len(keys) - 1)
    yield statement, {f"b_{name}": part for name, part in zip(keys, parts, strict=True)}


def _crediting(row: Row, now_ms: int) -> Iterator[Write]:
    account = row.key["account"]
    yield from writes(
        [
            credit_transaction(
                account,
                row.columns["amount_micro"],
                row.columns["currency"],
                key=f"{account}:{row.key['key']}",
                at_ms=now_ms,
            )
        ]
    )
