"""Where a call has been before, as signalling carries it from one server to the next."""

from __future__ import annotations

from dataclasses import dataclass

MOST_HOPS = 70
"""Of servers that a new call may pass (Max-Forwards, RFC 3261 §8.1.1.6)."""


@dataclass(frozen=True, slots=True)
class History:
    hops_left: int = MOST_HOPS
    """Servers that may still pass it on."""
    marks: tuple[str, ...] = ()
    """One for each number that has passed it on, the first one first; only whoever made one can read it."""
    diverted_by: tuple[str, ...] = ()
    """Addresses that have passed it on, the latest first, as parties that are trusted say."""
