"""What a verb sees: the live call, its interrupts, and the outcome a verb returns."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from callrouter.ports import causes
from callrouter.ports.fetching import Parameters
from callrouter.ports.media_commands import PlayItem
from callrouter.ports.media_events import PlayEnd, RecordingEnd


class CallStatus(enum.Enum):
    """CallStatus, as TwiML requests have it."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return self not in _UNFINISHED


_CAUSES = {
    CallStatus.BUSY: causes.BUSY,
    CallStatus.FAILED: causes.TEMPORARY_FAILURE,
    CallStatus.NO_ANSWER: causes.NO_ANSWER,
}
_UNFINISHED = frozenset({CallStatus.QUEUED, CallStatus.INITIATED, CallStatus.RINGING, CallStatus.IN_PROGRESS})


class Side(enum.Enum):
    """Who hung up."""

    CALLER = "caller"
    """The far end of this call's own leg."""
    US = "us"
    """The server: API, policy, limits."""


@dataclass(frozen=True, slots=True)
class Hangup:
    side: Side
    detail: str = ""
    status: CallStatus = CallStatus.COMPLETED
    q850: int = 0
    """Cause of ITU-T Q.850: what the far end is told, or what it told us.  0 = what fits `status`."""

    @property
    def cause(self) -> int:
        return self.q850 or _CAUSES.get(self.status, causes.NORMAL)


@dataclass(frozen=True, slots=True)
class Replace:
    """New instructions by REST: exactly one of `target` and `twiml` is set."""

    target: str = ""
    method: Literal["GET", "POST"] = "POST"
    twiml: str = ""
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Control passes to `target` by API, event mapping or SIP message (docs/design.md §4 rule 5)."""

    target: str
    cause: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    detail: str = ""


Interrupt = Hangup | Replace | Transfer | Shutdown


@dataclass(frozen=True, slots=True)
class Next:
    """Go on with the verb that follows."""


@dataclass(frozen=True, slots=True)
class GoTo:
    """Pass control to `target` (any target URI, or a URL relative to the document; "" is the
    current document).  `parameters` are sent on top of the standard ones."""

    target: str
    method: Literal["GET", "POST"] = "POST"
    parameters: Parameters = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """End the call."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Reject an unanswered call; an answered one is hung up."""

    status: Literal[486, 603]


@dataclass(frozen=True, slots=True)
class Connect:
    """Demote: suspend this document, join `child`, and ask `after` what to do at the end."""

    child: ChildCall
    after: Callable[[Bridged], Outcome]
    time_limit_seconds: int
    hangup_on_star: bool
    record: BridgeRecording | None = None


Outcome = Next | GoTo | Finish | Refuse | Connect


@dataclass(frozen=True, slots=True)
class BridgeRecording:
    dual: bool
    trim_silence: bool
    callback: str
    callback_method: Literal["GET", "POST"]
    callback_events: frozenset[str]


@dataclass(frozen=True, slots=True)
class Bridged:
    """How a bridge ended."""

    seconds: int
    ended_by: Literal["caller", "callee", "star", "time-limit", "redirected", "us"]
    recording: Recorded | None = None


@dataclass(frozen=True, slots=True)
class Played:
    reason: PlayEnd
    digit: str


@dataclass(frozen=True, slots=True)
class RecordOrder:
    """What Record asks for; silence is counted by the engine, on received audio only."""

    max_seconds: int
    silence_seconds: int
    stop_digits: str
    trim_silence: bool
    play_beep: bool
    source: str = "RecordVerb"
    callback: str = ""
    callback_method: Literal["GET", "POST"] = "POST"
    callback_events: frozenset[str] = frozenset({"completed"})


@dataclass(frozen=True, slots=True)
class Recorded:
    sid: str
    url: str
    """Absolute, without extension."""
    seconds: int
    reason: RecordingEnd
    digit: str


DETECTION_TIMES: Mapping[str, tuple[int, int, int]] = {
    "Timeout": (30, 3, 60),
    "SpeechThreshold": (2400, 1000, 6000),
    "SpeechEndThreshold": (1200, 500, 5000),
    "SilenceTimeout": (5000, 2000, 10_000),
}
"""Default, least and most of the times of `MachineDetection`, by how the names end that applications give
them by: the first in seconds, the others in milliseconds."""


@dataclass(frozen=True, slots=True)
class MachineDetection:
    """Whoever answers is to be told apart: a person, a machine, a fax."""

    to_end: bool = False
    """Listen to a machine until its greeting is over."""
    timeout_seconds: int = 30
    speech_ms: int = 2400
    speech_end_ms: int = 1200
    silence_ms: int = 5000
    is_awaited: bool = False
    """The call gets no instructions before it is known."""
    callback: str = ""
    """Absolute URL that is told, "" for none."""
    callback_method: Literal["GET", "POST"] = "POST"


@dataclass(frozen=True, slots=True)
class DialTarget:
    """One destination of a Dial."""

    uri: str
    """`tel:+…`, `sip:…` or `client:…`."""
    caller_id: str = ""
    timeout_seconds: int = 30
    headers: tuple[tuple[str, str], ...] = ()
    username: str = ""
    password: str = ""
    send_digits: str = ""
    status_callback: str = ""
    status_callback_method: Literal["GET", "POST"] = "POST"
    status_callback_events: frozenset[str] = frozenset({"completed"})
    trunk: str = ""
    """By which carrier, for a SIP address; "" = by none."""
    mentioned_by: str = ""
    """As in `OutgoingCall`."""
    detection: MachineDetection | None = None


@dataclass(frozen=True, slots=True)
class DialResult:
    """How an attempt to reach a target ended; `status` is COMPLETED once it was answered."""

    status: CallStatus
    sip_status: int
    sip_call_id: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Referred:
    """What became of asking the far end of a call to call somebody else (REFER)."""

    answer: int
    """SIP status of its answer; 0 = the call ended before there was one."""
    outcome: int = 0
    """Status that its last NOTIFY told, 408 when none that is final came; 0 = it promised none, refused,
    or hung up first."""


class ChildCall(Protocol):
    """A call that this one dialled.  It belongs to the scope of the verb that placed it: unless a
    `Connect` takes it over, it is cancelled or hung up when the verb ends, however it ends."""

    @property
    def sid(self) -> str: ...

    @property
    def result(self) -> DialResult: ...

    async def answered(self) -> bool:
        """Wait for the final answer; True when it was picked up, `result` tells the rest."""

    async def screen(self, url: str, method: Literal["GET", "POST"]) -> bool:
        """Run a whisper document on the callee; True if the callee is still there to be joined."""

    async def end(self) -> None:
        """CANCEL or BYE; returns when the leg is closed."""


class Digits(Protocol):
    """Keys pressed since `LiveCall.listen()` was entered."""

    async def next(self) -> str:
        """The next key; wait for it."""

    async def held(self) -> str:
        """The key that is down now, when it is let go; "" if none is."""


class LiveCall(Protocol):
    """All of a call that a verb may touch.

    Everything raises `CallGone` once the leg has ended, and may be cancelled at any await: the
    controller cancels a running verb to interrupt it, and what the verb created is released by
    its scope."""

    @property
    def sid(self) -> str: ...
    @property
    def account_sid(self) -> str: ...
    @property
    def from_(self) -> str: ...
    @property
    def to(self) -> str: ...
    @property
    def is_answered(self) -> bool: ...
    @property
    def is_sip_origin(self) -> bool:
        """The caller came in by a SIP URI, not with a telephone number."""

    @property
    def is_screening(self) -> bool:
        """This document runs on a callee before it is bridged: Dial is not allowed (13201)."""

    def resolve(self, url: str) -> str:
        """`url` as an absolute URL or target; relative ones against the document.  Raises
        `DocumentError` 11100 when there is no base."""

    async def answer(self) -> None:
        """Pick up; at once when that has happened already."""

    async def ring(self) -> None:
        """Let the caller hear that it rings, without answering (180)."""

    async def sleep(self, seconds: float) -> None: ...

    async def speech(self, text: str, *, voice: str, language: str) -> PlayItem: ...

    async def audio(self, url: str) -> PlayItem:
        """Fetch, decode, share.  Raises `FetchFailed` or `AudioUnplayable`."""

    async def play(self, items: Sequence[PlayItem], *, loops: int = 1, stop_digits: str = "") -> Played:
        """Answer if need be, play, and return when it ended.  Cancelling it stops the audio."""

    def listen(self) -> AbstractContextManager[Digits]:
        """Collect keys from now on; earlier ones are dropped."""

    async def record(self, order: RecordOrder) -> Recorded:
        """Answer if need be and record what the caller says until something ends it."""

    @property
    def last_recording(self) -> Recorded | None:
        """What `record` made during this verb, complete or (once the scope is released) cut short by
        cancellation; None when there is nothing.  This is how `interrupted` learns of it."""

    async def refer(self, target: str, told: Callable[[int], None] | None = None) -> Referred:
        """Ask the far end to call `target` (a SIP or `tel:` URI) itself, and wait for what it says of it;
        `told` hears each status on the way.  It does not hang up by itself, nor need the far end."""

    async def place(self, target: DialTarget) -> ChildCall:
        """Start a child call.  It fails by its `result`, never by raising."""

    @property
    def placed(self) -> Sequence[ChildCall]:
        """The children this verb placed, in order, over or not; still readable in `interrupted`."""

    async def ringback(self, tone: PlayItem) -> None:
        """Let the caller hear `tone` over and over, until cancelled.  To one who is not answered and has not
        heard anything yet (`hear`) this does nothing: its own telephone rings."""

    async def hear(self, child: ChildCall, tone: PlayItem) -> None:
        """Let the caller hear what `child` sends before it answers (early media), and `tone` (`ringback`)
        while that is nothing, until cancelled or over.  The caller need not be answered for that."""

    def parameters_of(self, child: ChildCall) -> Parameters:
        """DialCallSid and the SIP extras for a child that is over."""

    def warn(self, code: int, message: str, line: int = 0) -> None:
        """Log a warning or error for the developer; the call goes on."""


class Verb(Protocol):
    """One verb of a document, ready to run."""

    @property
    def line(self) -> int: ...

    async def run(self, call: LiveCall) -> Outcome: ...

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        """Called after `run` was cancelled and its scope released: what still has to be done.
        After a Hangup only a GoTo is carried out, as a request whose answer is not run."""
