"""What changed in the file since it was last applied.  Pure.

Three-way: what the file says now is compared with what it said then, and only the difference is
written to the tables, column by column.  What others changed there meanwhile stays as they left it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from callrouter.declared.rows import Row

Base = Mapping[tuple[str, str], Mapping[str, Any]]
"""Columns as last applied, by table and key."""


class Action(enum.Enum):
    ADD = "+"
    CHANGE = "~"
    DISABLE = "-"
    """The file made it and does not have it any longer."""


@dataclass(frozen=True, slots=True)
class Change:
    action: Action
    table: str
    key: str
    columns: Mapping[str, tuple[Any, Any]]
    """Columns that changed, as (then, now); of secrets the SHA-256."""
    row: Row | None
    """None where it is disabled."""
    then: Mapping[str, Any] = field(default_factory=dict)
    """All columns as last applied."""

    def __str__(self) -> str:
        lines = [f"{self.action.value} {self.table} {self.key}"]
        for name, (then, now) in self.columns.items():
            if name.endswith("_sha256"):
                lines.append(f"    {name.removesuffix('_sha256')}: (secret, changed)")
            elif self.action is Action.ADD:
                lines.append(f"    {name}: {now!r}")
            else:
                lines.append(f"    {name}: {then!r} -> {now!r}")
        return "\n".join(lines)


def difference(rows: Iterable[Row], base: Base) -> list[Change]:
    """Additions and changes in the order of `rows`, then what is to be disabled."""
    changes = []
    seen = set()
    for row in rows:
        seen.add(row.identity)
        then = base.get(row.identity)
        columns = {
            name: (None if then is None else then.get(name), value)
            for name, value in row.columns.items()
            if then is None or name not in then or then[name] != value
        }
        if then is None:
            changes.append(Change(Action.ADD, *row.identity, columns, row))
        elif columns:
            changes.append(Change(Action.CHANGE, *row.identity, columns, row, then))
    for identity, then in base.items():
        if identity not in seen:
            changes.append(Change(Action.DISABLE, *identity, {}, None, then))
    return changes


def rendered(changes: Iterable[Change]) -> str:
    """`changes` for people, one object after the other."""
    text = "\n".join(str(change) for change in changes)
    return text or "nothing changed since the last apply"
