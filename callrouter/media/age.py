"""Whether the compiled engine is of the same version as the Python beside it.

After an update of the sources the compiled file of the last build is still there.  It would run
until the first order, count or event that the other side does not know."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from callrouter import _engine
from callrouter.errors import StartupError
from callrouter.media.counters import COUNTERS

REBUILD = "make .venv/.engine"


def check_age() -> None:
    """Raises `StartupError` for an engine that was not built with this Python."""
    stub = Path(__file__).parents[1] / "_engine.pyi"
    # An installation may leave out what only type checkers read.
    interface = stub.read_text(encoding="utf-8") if stub.exists() else None
    difference = find_difference(
        list(_engine.COUNTERS), getattr(_engine, "INTERFACE", ""), list(COUNTERS), interface
    )
    if difference:
        raise StartupError(
            f"the compiled media engine ({_engine.__file__}) is not of the version of the Python beside it: "
            f"{difference}; build it again: {REBUILD}"
        )


def find_difference(
    built_counters: Sequence[str], built_interface: str, counters: Sequence[str], interface: str | None
) -> str:
    """What the engine has otherwise than Python expects it; "" for nothing."""
    for built, expected in zip_longest(built_counters, counters):
        if built != expected:
            return f"it counts {built or 'nothing more'} where {expected or 'nothing more'} is expected"
    if interface is None:
        return ""
    if not built_interface:
        return "it does not know what it was built for"
    was = built_interface.splitlines()
    for number, (built, expected) in enumerate(zip_longest(was, interface.splitlines()), 1):
        if built != expected:
            return f"its interface differs from _engine.pyi in line {number} ({(expected or '').strip()!r})"
    return ""
