"""What is known of one call: who, where to, how far it got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from callrouter.calls.leg import Leg
from callrouter.ports import MOST_HOPS, CallStatus, CookieJar
from metering.interval import CallFacts

Direction = Literal["inbound", "outbound-api", "outbound-dial"]

EVENT_OF_STATUS = {
    CallStatus.INITIATED: "initiated",
    CallStatus.RINGING: "ringing",
    CallStatus.IN_PROGRESS: "answered",
}


def callback_event(status: CallStatus) -> str:
    """The statusCallbackEvent a status belongs to; "" for `queued`."""
    return "completed" if status.final else EVENT_OF_STATUS.get(status, "")


@dataclass(frozen=True, slots=True)
class StatusCallback:
    """Somebody who wants to hear of a call's progress."""

    url: str
    method: Literal["GET", "POST"]
    events: frozenset[str]


@dataclass(slots=True)
class Call:
    """The mutable facts of a call.  Only its controller changes them."""

    facts: CallFacts
    direction: Direction
    from_: str
    to: str
    created_ms: int
    created_ns: int
    jar: CookieJar
    status: CallStatus = CallStatus.QUEUED
    fallback: str = ""
    fallback_method: Literal["GET", "POST"] = "POST"
    callbacks: tuple[StatusCallback, ...] = ()
    callbacks_sent: int = 0
    events_told: set[str] = field(default_factory=set)
    caller_name: str = ""
    forwarded_from: str = ""
    start_ms: int | None = None
    answered_ms: int | None = None
    answered_ns: int | None = None
    end_ms: int | None = None
    sip_status: int = 0
    q850: int = 0
    """Cause of ITU-T Q.850 that the far end gave for the end; 0 = none."""
    sip_call_id: str = ""
    sip_source: str = ""
    sip_headers: Mapping[str, str] = field(default_factory=dict)
    split_from: str = ""
    linked_sid: str = ""
    """The call at the other end, where that is a call of another session of this server."""
    diverted_from: str = ""
    """Number that the forwarded call was for."""
    chain: tuple[str, ...] = ()
    """Numbers of this server that the call came through, the first one first …"""
    marks: tuple[str, ...] = ()
    """… and before them those of servers that it passed on the way (`Loops`)."""
    hops_left: int = MOST_HOPS
    """Servers that it may still pass."""
    answered_by: str = ""
    """Who answered, as AnsweredBy has it, once that was found out."""
    detection_ms: int = 0
    tells_answerer: bool = False
    """Its instructions waited for that, so requests for them say it."""
    error_code: int = 0
    end_detail: str = ""
    leg: Leg | None = None

    @property
    def sid(self) -> str:
        return self.facts.call_sid

    @property
    def is_answered(self) -> bool:
        return self.answered_ns is not None

    @property
    def duration_seconds(self) -> int:
        """Whole seconds of conversation, rounded to the nearest as the compatible API does."""
        if self.answered_ms is None or self.end_ms is None:
            return 0
        return (self.end_ms - self.answered_ms + 500) // 1000
