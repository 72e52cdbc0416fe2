"""Row statements as the driver wants them.  Executing through SQLAlchemy costs several times what
the database does for a row, so what every call writes is compiled once and executed for many rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
        names: Iterable[str] = compiled.positiontup or statement.columns
        types = {name: bind.type for name, bind in compiled.binds.items()}
        self._columns = [(name, types[name].dialect_impl(dialect).bind_processor(dialect)) for name in names]

    def execute(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """Execute for each of `rows`; how many were affected, -1 where the driver does not tell."""
        return connection.exec_driver_sql(self._sql, [self._parameters(row) for row in rows]).rowcount

    def _parameters(self, row: Mapping[str, Any]) -> Any:
        if not self._positional:
            return {name: _processed(process, row[name]) for name, process in self._columns}
        return tuple([_processed(process, row[name]) for name, process in self._columns])


def _processed(process: Processor | None, value: Any) -> Any:
    return value if process is None else process(value)
