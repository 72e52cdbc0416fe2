"""Row statements as the driver wants them.  Executing through SQLAlchemy costs several times what
the database does for a row, so what every call writes is compiled once and executed for many rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Dialect

from callrouter.storage.statements import RowStatement

Processor = Callable[[Any], Any]


class Prepared:
    """One row statement in the driver's own words."""

    def __init__(self, statement: RowStatement, dialect: Dialect) -> None:
        compiled = statement.text.compile(dialect=dialect)
        self._sql = str(compiled)
        self._positional = compiled.positional
        self._names = tuple(compiled.positiontup or statement.columns)
        self._values = itemgetter(*self._names)
        types = {name: bind.type for name, bind in compiled.binds.items()}
        processors = [types[name].dialect_impl(dialect).bind_processor(dialect) for name in self._names]
        self._processors = [(at, process) for at, process in enumerate(processors) if process is not None]
        """Of the few columns that the driver does not take as they are, by their place."""

    def execute(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """Execute for each of `rows`; how many were affected, -1 where the driver does not tell."""
        return connection.exec_driver_sql(self._sql, [self._parameters(row) for row in rows]).rowcount

    def _parameters(self, row: Mapping[str, Any]) -> Any:
        values = self._values(row)
        if self._processors:
            values = list(values)
            for at, process in self._processors:
                values[at] = process(values[at])
        return tuple(values) if self._positional else dict(zip(self._names, values, strict=True))
