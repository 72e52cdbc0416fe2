"""Statements that SQLite and PostgreSQL both understand but that SQLAlchemy spells per dialect."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Column, Table, TextClause, bindparam, text


def insert_once(table: Table, columns: Collection[str] | None = None) -> TextClause:
    """Insert a row unless a unique key has it already.

    >>> INSERT_CHARGE = insert_once(charges)
    """
    return _insert(table, columns, "DO NOTHING")


def upsert(
    table: Table,
    key: Sequence[str],
    update: Sequence[str] | None = None,
    columns: Collection[str] | None = None,
) -> TextClause:
    """Insert a row, or where `key` exists overwrite the columns `update` (default: all others)."""
    names = _names(table, columns)
    changed = [name for name in names if name not in key] if update is None else update
    target = ", ".join(f'"{name}"' for name in key)
    assignments = ", ".join(f'"{name}" = excluded."{name}"' for name in changed)
    return _insert(table, columns, f"({target}) DO UPDATE SET {assignments}")


def _insert(table: Table, columns: Collection[str] | None, conflict: str) -> TextClause:
    names = _names(table, columns)
    quoted = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(f":{name}" for name in names)
    statement = text(f'INSERT INTO "{table.name}" ({quoted}) VALUES ({values}) ON CONFLICT {conflict}')  # noqa: S608 - names come from our own tables
    parameters = [bindparam(name, type_=table.c[name].type) for name in names]
    return statement.bindparams(*parameters)


def _names(table: Table, columns: Collection[str] | None) -> list[str]:
    """The columns to be given a value: those asked for, else all that do not number themselves."""
    return [
        column.name
        for column in table.columns
        if (column.name in columns if columns is not None else not _numbered(column))
    ]


def _numbered(column: Column[object]) -> bool:
    return column.autoincrement is True
