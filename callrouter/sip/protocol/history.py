"""Where a call has been, as its INVITE says: Max-Forwards, our own marks (RFC 7332), and who diverted it:
Diversion (RFC 5806), History-Info (RFC 7044)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from callrouter.ports import MOST_HOPS, History
from callrouter.sip.protocol.grammar import Fields, number
from callrouter.sip.protocol.headers.address import Address, readable
from callrouter.sip.protocol.identity import in_e164
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.numbering import NumberFormat

HEADER = "Callrouter-Chain"
MOST_MARKS = 100
"""Of one INVITE; what is beyond is not read."""
_MARK = re.compile(r"[0-9a-f]{8,32}")
_CHANGES_OF_MIND = frozenset({"302", "404", "408", "480", "486", "487", "503"})
"""Causes by which somebody passed a call on (RFC 4458 §3.1.1); others are of ordinary routing."""


def read(invite: Request, numbers: NumberFormat, *, is_trusted: bool) -> History:
    """Who diverted it counts only if its sender `is_trusted`."""
    diverted = (_diverted(invite) or _forwarded(invite)) if is_trusted else []
    by = tuple(in_e164(address.uri, numbers) for address in diverted)
    return History(_hops(invite), _marks(invite), by)


def chain_fields(marks: tuple[str, ...]) -> Fields:
    return ((HEADER, ", ".join(marks)),) if marks else ()


def _hops(invite: Request) -> int:
    try:
        return min(number((invite.get("Max-Forwards") or str(MOST_HOPS)).strip(), 255), MOST_HOPS)
    except ValueError:
        return MOST_HOPS


def _marks(invite: Request) -> tuple[str, ...]:
    values = invite.all(HEADER)
    if not values:
        return ()
    words = (word.strip() for value in values for word in value.split(","))
    return tuple(word for word in words if _MARK.fullmatch(word))[:MOST_MARKS]


def _diverted(invite: Request) -> list[Address]:
    return _addresses(invite.all("Diversion"))


def _forwarded(invite: Request) -> list[Address]:
    """Those of the history whose successor says that they did not want the call."""
    entries = _addresses(invite.all("History-Info"))
    passed_on = [
        entry for entry, following in pairwise(entries) if following.uri.get("cause") in _CHANGES_OF_MIND
    ]
    return passed_on[::-1]


def _addresses(values: Iterable[str]) -> list[Address]:
    return [address for value in values for address in readable(value)][:MOST_MARKS]
