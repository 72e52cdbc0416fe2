"""What is wrong with a document, in words for the person who wrote it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    WARNING = "warning"
    """Logged; the call goes on."""
    ERROR = "error"
    """The verb, or the whole document, fails."""


@dataclass(frozen=True, slots=True)
class Finding:
    line: int
    """1-based line of the document, 0 where it belongs to none."""
    level: Level
    code: int
    """TwiML error code."""
    message: str


UNEXPECTED = 12200
"""Schema validation warning: misspelt, misplaced or unknown."""


def warning(line: int, code: int, message: str) -> Finding:
    return Finding(line, Level.WARNING, code, message)
