"""The meter's facts as the journal keeps them: JSON without what is at its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

from metering.interval import CallFacts, Cause, Holder, Interval, Mode

EPOCH = "epoch"
BEGIN = "begin"
TRANSFER = "transfer"
END = "end"
HEARTBEAT = "heartbeat"
RECOVERED = "recovered"
DIALOG = "dialog"
DIALOG_ENDED = "dialog-ended"
SNAPSHOT = "snapshot"

_CALL_MEMBERS = tuple(field.name for field in fields(CallFacts))
_HOLDER_MEMBERS = tuple(field.name for field in fields(Holder))


def call_to_json(call: CallFacts) -> dict[str, Any]:
    return _without_defaults(call)


def call_from_json(data: Mapping[str, Any]) -> CallFacts:
    return CallFacts(**data)


def holder_to_json(holder: Holder) -> dict[str, Any]:
    return {**_without_defaults(holder), "mode": holder.mode.value}


def holder_from_json(data: Mapping[str, Any]) -> Holder:
    return _holder(tuple(data.items()))


@lru_cache(maxsize=4096)
def _holder(members: tuple[tuple[str, Any], ...]) -> Holder:
    """The same few modules hold one call after the other."""
    data = dict(members)
    return Holder(**{**data, "mode": Mode(data["mode"])})


def interval_to_json(interval: Interval) -> dict[str, Any]:
    """Without the call, which its track tells once; see `tracks.py`."""
    data: dict[str, Any] = {
        "holder": holder_to_json(interval.holder),
        "start_ms": interval.start_ms,
        "cause": interval.cause.value,
    }
    if interval.end_ms is not None and interval.end_cause is not None:
        data |= {"end_ms": interval.end_ms, "end_cause": interval.end_cause.value}
    return data


def interval_from_json(data: Mapping[str, Any], call: CallFacts, sequence: int) -> Interval:
    end_cause = data.get("end_cause")
    return Interval(
        call,
        sequence,
        holder_from_json(data["holder"]),
        data["start_ms"],
        Cause(data["cause"]),
        data.get("end_ms"),
        Cause(end_cause) if end_cause else None,
    )


def _without_defaults(value: CallFacts | Holder) -> dict[str, Any]:
    """Members that are not "", which is every optional member's default."""
    names = _CALL_MEMBERS if isinstance(value, CallFacts) else _HOLDER_MEMBERS
    return {name: member for name in names if (member := getattr(value, name)) != ""}
