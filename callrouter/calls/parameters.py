"""The parameters of requests to applications.  No I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

from callrouter.calls.call import Call
from callrouter.ports import Parameters

API_VERSION = "2010-04-01"
_GEO = ("City", "State", "Zip", "Country")


def rfc2822(utc_ms: int) -> str:
    """`Fri, 20 Aug 2010 01:13:42 +0000`."""
    return format_datetime(datetime.fromtimestamp(utc_ms // 1000, tz=UTC))


def standard(call: Call) -> Parameters:
    """What goes with every document request."""
    rows = [
        ("CallSid", call.sid),
        ("AccountSid", call.facts.account_sid),
        ("From", call.from_),
        ("To", call.to),
        ("Caller", call.from_),
        ("Called", call.to),
        ("CallStatus", call.status.value),
        ("Direction", call.direction),
        ("ApiVersion", API_VERSION),
    ]
    if call.facts.parent_sid:
        rows.append(("ParentCallSid", call.facts.parent_sid))
    if call.forwarded_from:
        rows += [("ForwardedFrom", call.forwarded_from), ("CalledVia", call.forwarded_from)]
    if call.caller_name:
        rows.append(("CallerName", call.caller_name))
    if call.tells_answerer:
        rows.extend(answerer(call))
    for who in ("From", "To", "Caller", "Called"):
        rows.extend((who + part, "") for part in _GEO)
    return (*rows, *_sip(call))


def answerer(call: Call) -> Parameters:
    """Who answered, and how long it took to find out."""
    return (("AnsweredBy", call.answered_by), ("MachineDetectionDuration", str(call.detection_ms)))


def _sip(call: Call) -> Parameters:
    if not call.sip_call_id:
        return ()
    rows = [("SipCallId", call.sip_call_id)]
    if call.sip_source:
        rows.append(("SipSourceIp", call.sip_source))
    rows.extend(
        (f"SipHeader_{name}", value)
        for name, value in call.sip_headers.items()
        if name.lower().startswith("x-")
    )
    return tuple(rows)


def progress(call: Call, *, now_ms: int) -> Parameters:
    """What a status callback adds; `call.callbacks_sent` numbers it."""
    rows = [
        ("Timestamp", rfc2822(now_ms)),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", str(call.callbacks_sent)),
    ]
    if call.status.final:
        seconds = call.duration_seconds
        rows += [("CallDuration", str(seconds)), ("Duration", str(-(-seconds // 60)))]
        if call.sip_status:
            rows.append(("SipResponseCode", str(call.sip_status)))
        if call.answered_by:
            rows.append(("AnsweredBy", call.answered_by))
    return tuple(rows)


def merged(*groups: Parameters) -> Parameters:
    """Later groups win over earlier ones of the same name; order of first appearance."""
    seen: dict[str, str] = {}
    for group in groups:
        seen.update(group)
    return tuple(seen.items())
