"""A call as the compatible API shows it, and the query behind it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import func, select

from callrouter.api.compat.times import rfc2822
from callrouter.api.money import decimal
from callrouter.calls.tables import calls
from callrouter.ports import CallStatus
from metering.tables import charges

API_VERSION: Final = "2010-04-01"
ROOT: Final = f"/{API_VERSION}/Accounts"

# What the account was charged for the call; NULL before that.
_PRICE: Final = (
    select(func.sum(charges.c.amount_micro))
    .where(charges.c.call_sid == calls.c.sid, charges.c.account_sid == calls.c.account_sid)
    .scalar_subquery()
    .label("price_micro")
)
_PRICE_UNIT: Final = (
    select(func.min(charges.c.currency))
    .where(charges.c.call_sid == calls.c.sid, charges.c.account_sid == calls.c.account_sid)
    .scalar_subquery()
    .label("price_unit")
)
CALLS: Final = select(calls, _PRICE, _PRICE_UNIT)

_SUBRESOURCES: Final = ("events", "notifications", "recordings")
_NORTH_AMERICAN: Final = re.compile(r"\+1(\d{3})(\d{3})(\d{4})", re.ASCII)
# REST has no `initiated`: until it rings a call counts as queued.
_SHOWN: Final = {CallStatus.INITIATED.value: CallStatus.QUEUED.value}


def call_fields(row: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Fields of a row of `CALLS`, in the order of the official documentation."""
    uri = f"{ROOT}/{row['account_sid']}/Calls/{row['sid']}"
    ended = row["end_ms"] is not None
    return {
        "sid": row["sid"],
        "date_created": rfc2822(row["created_ms"]),
        "date_updated": rfc2822(row["updated_ms"]),
        "parent_call_sid": row["parent_sid"] or None,
        "account_sid": row["account_sid"],
        "to": row["to"],
        "to_formatted": formatted(row["to"]),
        "from": row["from_"],
        "from_formatted": formatted(row["from_"]),
        "phone_number_sid": None,
        "status": shown_status(row["status"]),
        "start_time": rfc2822(row["start_ms"]),
        "end_time": rfc2822(row["end_ms"]),
        "duration": str(_seconds(row)) if ended else None,
        "price": decimal(-row["price_micro"]) if row["price_micro"] is not None else None,
        "price_unit": row["price_unit"] or currency,
        "direction": row["direction"],
        "answered_by": row["answered_by"] or None,
        "api_version": API_VERSION,
        "forwarded_from": row["forwarded_from"] or None,
        "group_sid": None,
        "caller_name": row["caller_name"] or None,
        "queue_time": str(_queue_ms(row)),
        "trunk_sid": None,
        "annotation": None,
        "uri": f"{uri}.json",
        "subresource_uris": {name: f"{uri}/{name.capitalize()}.json" for name in _SUBRESOURCES},
    }


def shown_status(status: str) -> str:
    return _SHOWN.get(status, status)


def stored_statuses(shown: str) -> list[str]:
    """Statuses in the table that are shown as `shown`."""
    return [shown, *(stored for stored, as_shown in _SHOWN.items() if as_shown == shown)]


def formatted(address: str) -> str:
    """`(555) 010-0100` for numbers of the North American plan, others as they are."""
    match = _NORTH_AMERICAN.fullmatch(address)
    return f"({match[1]}) {match[2]}-{match[3]}" if match else address


def _seconds(row: Mapping[str, Any]) -> int:
    """Of conversation, to the nearest second; 0 if nobody answered."""
    if row["answered_ms"] is None:
        return 0
    return int(max(row["end_ms"] - row["answered_ms"] + 500, 0) // 1000)


def _queue_ms(row: Mapping[str, Any]) -> int:
    return int(max((row["start_ms"] or row["created_ms"]) - row["created_ms"], 0))
