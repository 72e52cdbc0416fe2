"""What a caller does when it is its turn: the entries of `--press`.

A turn comes when the other side has spoken and then fallen silent.  Entries are separated by commas
and used up one a turn: `1` or `12#` are keys, `w` lets the turn pass, `v` speaks.
"""

from __future__ import annotations

from dataclasses import dataclass

KEYS = frozenset("0123456789ABCD*#")


@dataclass(frozen=True, slots=True)
class Press:
    digits: str


@dataclass(frozen=True, slots=True)
class LetPass:
    """Do nothing this turn."""


@dataclass(frozen=True, slots=True)
class Speak:
    """Play the caller's voice once."""


Entry = Press | LetPass | Speak


def parse(text: str) -> tuple[Entry, ...]:
    """Raises `ValueError` naming the entry that cannot be understood."""
    return tuple(_entry(part.strip()) for part in text.split(",")) if text.strip() else ()


def _entry(part: str) -> Entry:
    if part in {"w", "W"}:
        return LetPass()
    if part in {"v", "V"}:
        return Speak()
    digits = part.upper()
    if digits and set(digits) <= KEYS:
        return Press(digits)
    raise ValueError(f"{part!r} is neither keys (0-9 A-D * #), nor w (wait a turn), nor v (speak)")
