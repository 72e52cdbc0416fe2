"""Status callbacks that verbs hand on: a bad one is reported and never costs the call anything."""

from __future__ import annotations

from callrouter.documents.attributes import Attributes
from callrouter.errors import DocumentError
from callrouter.ports import LiveCall

RECORDING_EVENTS = ("in-progress", "completed", "absent")
PROGRESS_EVENTS = ("initiated", "ringing", "answered", "completed")
COMPLETED = frozenset({"completed"})


def recording_events(read: Attributes) -> frozenset[str]:
    """recordingStatusCallbackEvent; an unknown event is an error (13621)."""
    return read.choices("recordingStatusCallbackEvent", COMPLETED, RECORDING_EVENTS, code=13621, fatal=True)


def absolute(call: LiveCall, url: str, line: int) -> str:
    """The callback as an absolute URL; "" where there is none or it cannot be made absolute."""
    if not url:
        return ""
    try:
        return call.resolve(url)
    except DocumentError as error:
        call.warn(error.code, f"status callback {url!r} is not used: {error}", line)
        return ""
