"""Those of Dial's attributes that take more than a line to read."""

from __future__ import annotations

import re

from callrouter.documents.attributes import Attributes
from callrouter.documents.finding import UNEXPECTED
from callrouter.ports import BridgeRecording
from callrouter.verbs.callbacks import recording_events
from callrouter.verbs.dial.number import normalise

DEFAULT_RING_TONE = "us"
_COUNTRIES = (
    "at au bg br be ch cl cn cz de dk ee es fi fr gr hu il in it lt jp mx my nl no nz ph pl pt ru se sg th"
    " uk us us-old tw ve za"
)
RING_TONES = frozenset(_COUNTRIES.split())
UNSUPPORTED = ("recordingConfigurationId", "referUrl", "referMethod", "events", "passports", "callReason")

_OFF = "do-not-record"
_RECORD = {
    _OFF: None,
    "false": None,
    "true": "mono",
    "record-from-answer": "mono",
    "record-from-ringing": "mono",
    "record-from-answer-dual": "dual",
    "record-from-ringing-dual": "dual",
}
_TRACKS = ("both", "inbound", "outbound")
_TRIMS = ("trim-silence", "do-not-trim")
_NAMED_CALLER = re.compile(r"client:[^\s<>\"]{1,256}|[A-Za-z0-9+\-_.]{1,128}")
LONGEST_CALLER_ID = 263


def caller_id(read: Attributes) -> str:
    """A number in E.164 where it can be told, `client:…`, or a name; "" for the caller's own."""
    value = read.text("callerId", longest=LONGEST_CALLER_ID, code=13248)
    if not value:
        return ""
    if number := normalise(value):
        return number
    if _NAMED_CALLER.fullmatch(value):
        return value
    read.warn(13214, f"callerId is {value!r}, neither a number nor a client; the caller's own is used")
    return ""


def recording(read: Attributes) -> BridgeRecording | None:
    kind = _RECORD[read.choice("record", _OFF, _RECORD, code=13217)]
    track = read.choice("recordingTrack", "both", _TRACKS, code=UNEXPECTED)
    trim = read.choice("trim", "do-not-trim", _TRIMS, code=UNEXPECTED)
    callback = read.url("recordingStatusCallback", code=13256) or ""
    method = read.method("recordingStatusCallbackMethod", code=13210)
    events = recording_events(read)
    if kind is None:
        return None
    if track != "both":
        read.warn(UNEXPECTED, "recordingTrack has no effect on this server, both sides are recorded")
    return BridgeRecording(kind == "dual", trim == "trim-silence", callback, method, events)
