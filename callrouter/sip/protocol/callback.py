"""Calling back without keeping alive: a part that knew its whole would leave both to the collector,
which looks for what refers to itself late, and holds everybody up while it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec
from weakref import WeakMethod

P = ParamSpec("P")


def weakly(method: Callable[P, None]) -> Callable[P, None]:
    """`method`, bound to something that is called only as long as it is there."""
    known = WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        bound = known()
        if bound is not None:
            bound(*args, **kwargs)

    return call
