"""The plans in force: configuration with its history, and which module has which plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from callrouter.storage.database import Database
from callrouter.storage.statements import insert_once
from metering.interval import Holder
from metering.plan_config import parse_plan
from metering.plans import Plan
from metering.tables import plan_versions

_ADD = insert_once(plan_versions)
_ALL = select(plan_versions).order_by(plan_versions.c.plan, plan_versions.c.version)


class PlanBook:
    """Answers which plan prices whose time."""

    def __init__(self, plans: Iterable[Plan] = (), defaults: Mapping[str, str] | None = None) -> None:
        """`defaults` maps module codes to the codes of their default plans."""
        self._plans = {plan.code: plan for plan in plans}
        self._defaults = dict(defaults or {})

    def plan(self, holder: Holder) -> Plan | None:
        """The plan that prices `holder`'s time; None if nothing does (see `known`)."""
        return self._plans.get(holder.plan or self._defaults.get(holder.module, ""))

    def known(self, holder: Holder) -> bool:
        """False if a plan is named that does not exist: such time must not pass as free."""
        code = holder.plan or self._defaults.get(holder.module, "")
        return not code or code in self._plans

    def get(self, code: str) -> Plan | None:
        return self._plans.get(code)


async def load_plans(
    database: Database,
    configured: Mapping[str, Mapping[str, Any]],
    *,
    now_ms: int,
    currency: str = "USD",
    defaults: Mapping[str, str] | None = None,
) -> PlanBook:
    """Record configured plans that are new or changed as new versions, valid from now on, and
    return all plans with their history.  Raises `ConfigurationError`."""
    history: dict[str, list[Mapping[str, Any]]] = {}
    for row in await database.read(_ALL):
        history.setdefault(row["plan"], []).append(row)
    added = []
    for code, data in configured.items():
        parse_plan(code, data, currency=currency)
        content = json.dumps({"currency": currency, **data}, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()
        versions = history.setdefault(code, [])
        if not versions or versions[-1]["digest"] != digest:
            row = {
                "plan": code,
                "version": len(versions) + 1,
                "valid_from_ms": now_ms,
                "digest": digest,
                "content": content,
            }
            versions.append(row)
            added.append(row)
    if added:
        await database.write((_ADD, added))
    return PlanBook((_with_history(code, versions) for code, versions in history.items()), defaults)


def _with_history(code: str, rows: list[Mapping[str, Any]]) -> Plan:
    """The newest version's plan with the prices of all."""
    parsed = [
        parse_plan(
            code, json.loads(row["content"]), number=row["version"], valid_from_ms=row["valid_from_ms"]
        )
        for row in rows
    ]
    return replace(parsed[-1], versions=tuple(plan.versions[0] for plan in parsed))
