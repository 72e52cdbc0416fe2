"""Tells a database that is not there for now from a statement that is wrong.

What was written during an outage is worth trying again, as it is; what the database refuses is not.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError

_PRIMARY: Final = 0xFF
_SQLITE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
"""Locked, full, read-only, unreadable: the operator can do something about all of them."""


def is_locked(error: Exception) -> bool:
    """Whether another process had SQLite locked for longer than we wait."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    return isinstance(cause, sqlite3.Error) and _code(cause) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_outage(error: Exception) -> bool:
    """Whether the same statement may work later."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return _code(cause) in _SQLITE
    return isinstance(error, OperationalError | InterfaceError | InternalError)


def _code(error: sqlite3.Error) -> int:
    """The primary result code, 0 if the driver itself complains."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY
