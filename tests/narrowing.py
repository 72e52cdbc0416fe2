"""What a test takes a thing for: checked while it runs, and known to the type checker from there on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def as_a(kind: type[T], thing: object) -> T:
    """`thing`, which has to be a `kind`."""
    assert isinstance(thing, kind), f"{kind.__name__} was expected, not {thing!r}"
    return thing


def only(kind: type[T], things: Iterable[object]) -> T:
    """The one thing there is, which has to be a `kind`."""
    (thing,) = things
    return as_a(kind, thing)


def those(kind: type[T], things: Iterable[object]) -> list[T]:
    """What of `things` is a `kind`."""
    return [thing for thing in things if isinstance(thing, kind)]
