"""Statements that put rows into tables, in words that SQLite and PostgreSQL both understand but
that SQLAlchemy spells per dialect."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Table, TextClause, bindparam, text


@dataclass(frozen=True, eq=False)
class RowStatement:
    """Puts rows into one table, each by itself: rows of many callers can share one execution."""

    table: str
    text: TextClause
    columns: tuple[str, ...]
    """Names of the parameters that every row has to have."""
    key: tuple[str, ...] = ()
    """Rows equal in these columns replace each other as a whole; () where they do not."""


def insert_once(table: Table, columns: Collection[str] | None = None) -> RowStatement:
    """Insert a row unless a unique key has it already.

    >>> INSERT_CHARGE = insert_once(charges)
    """
    return _insert(table, _names(table, columns), "ON CONFLICT DO NOTHING")


def insert_new(table: Table, columns: Collection[str] | None = None) -> RowStatement:
    """Insert a row, which fails where a unique key has it already."""
    return _insert(table, _names(table, columns), "")


def upsert(
    table: Table,
    key: Sequence[str],
    update: Sequence[str] | None = None,
    columns: Collection[str] | None = None,
) -> RowStatement:
    """Insert a row, or where `key` exists overwrite the columns `update` (default: all others)."""
    names = _names(table, columns)
    changed = [name for name in names if name not in key] if update is None else update
    target = ", ".join(f'"{name}"' for name in key)
    assignments = ", ".join(f'"{name}" = excluded."{name}"' for name in changed)
    conflict = f"ON CONFLICT ({target}) DO UPDATE SET {assignments}"
    return _insert(table, names, conflict, key=tuple(key) if update is None else ())


def _insert(table: Table, names: Sequence[str], conflict: str, key: tuple[str, ...] = ()) -> RowStatement:
    quoted = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(f":{name}" for name in names)
    statement = text(f'INSERT INTO "{table.name}" ({quoted}) VALUES ({values}) {conflict}')  # noqa: S608 - names come from our own tables
    parameters = [bindparam(name, type_=table.c[name].type) for name in names]
    return RowStatement(table.name, statement.bindparams(*parameters), tuple(names), key)


def _names(table: Table, columns: Collection[str] | None) -> list[str]:
    """The columns to be given a value: those asked for, else all that do not number themselves."""
    return [
        column.name
        for column in table.columns
        if (column.name in columns if columns is not None else not _numbered(column))
    ]


def _numbered(column: Column[object]) -> bool:
    return column.autoincrement is True
