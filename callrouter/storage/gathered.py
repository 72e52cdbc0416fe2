"""Rows that many jobs put, brought together so that each statement is executed once for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from callrouter.storage.statements import RowStatement

Row = Mapping[str, Any]
RowWrite = tuple[RowStatement, Row | Sequence[Row]]


class Gathered:
    """Rows by statement, the statements in the order in which they came first."""

    def __init__(self) -> None:
        self._rows: dict[RowStatement, dict[Any, Row]] = {}
        self._of_table: dict[str, RowStatement] = {}

    def fits(self, writes: Iterable[RowWrite]) -> bool:
        """False when rows of `writes` must not change places with what was gathered before: two
        statements for one table have to keep their order."""
        return all(self._of_table.get(statement.table, statement) is statement for statement, _ in writes)

    def add(self, writes: Iterable[RowWrite]) -> None:
        """Take rows in; of a whole row put several times only the last is kept."""
        for statement, parameters in writes:
            self._of_table[statement.table] = statement
            rows = self._rows.setdefault(statement, {})
            for row in [parameters] if isinstance(parameters, Mapping) else parameters:
                place = tuple([row[name] for name in statement.key]) if statement.key else len(rows)
                rows.pop(place, None)
                rows[place] = row

    def take(self) -> Iterable[tuple[RowStatement, Iterable[Row]]]:
        """What was gathered, which is then forgotten."""
        gathered, self._rows, self._of_table = self._rows, {}, {}
        return ((statement, rows.values()) for statement, rows in gathered.items())
