"""What the media engine reports of its legs."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from callrouter.ports.leg_id import LegId
from callrouter.ports.media_commands import RoomId, Token


class PlayEnd(enum.Enum):
    FINISHED = "finished"
    STOPPED = "stopped"
    DIGIT = "digit"
    REPLACED = "replaced"
    CLOSED = "closed"


class RecordingEnd(enum.Enum):
    STOPPED = "stopped"
    SILENCE = "silence"
    DIGIT = "digit"
    MAX_LENGTH = "max-length"
    MAX_SIZE = "max-size"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PlayEnded:
    leg: LegId
    at_ns: int
    token: Token
    reason: PlayEnd
    digit: str
    played_ms: int


@dataclass(frozen=True, slots=True)
class DigitBegan:
    """A key went down: `DigitReceived` comes when it is let go, or nothing of it any more.  One that was
    told by signalling, or whose beginning was lost, is reported as received alone."""

    leg: LegId
    at_ns: int
    digit: str


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """One key press, reported once, at its end or when a new one begins."""

    leg: LegId
    at_ns: int
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class DigitsSent:
    leg: LegId
    at_ns: int
    token: Token


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """The file is complete and synced when this arrives (or `error` says why it is not)."""

    leg: LegId
    at_ns: int
    token: Token
    reason: RecordingEnd
    digit: str
    duration_ms: int
    size_bytes: int
    error: str


@dataclass(frozen=True, slots=True)
class AudioStarted:
    """The first RTP packet of the far end was accepted."""

    leg: LegId
    at_ns: int


@dataclass(frozen=True, slots=True)
class Secured:
    """The handshake with a browser is through: audio flows, protected by the suite of that name."""

    leg: LegId
    at_ns: int
    suite: str


@dataclass(frozen=True, slots=True)
class NotSecured:
    """There will be no audio with this browser, or no more."""

    leg: LegId
    at_ns: int
    reason: Literal[
        "wrong-certificate", "no-certificate", "refused", "unanswered", "handshake", "consent", "closed"
    ]
    """Its certificate is not the one that its description named, or none of elliptic curves; it broke
    the handshake off, did not answer, or the handshake failed otherwise; it has not asked to be
    sent to for 30 s (RFC 7675 §5.1), or has closed the connection (close_notify, RFC 5246 §7.2.1)."""


@dataclass(frozen=True, slots=True)
class AudioLost:
    """No RTP for the configured time-out on a leg that should be receiving."""

    leg: LegId
    at_ns: int
    silent_ms: int


@dataclass(frozen=True, slots=True)
class VoiceStarted:
    """Somebody talks, after so much silence."""

    leg: LegId
    at_ns: int
    silent_ms: int


@dataclass(frozen=True, slots=True)
class VoiceStopped:
    """They have stopped, having talked for so long; told when it is certain, 0.3 s later."""

    leg: LegId
    at_ns: int
    spoke_ms: int


@dataclass(frozen=True, slots=True)
class SpeakerChanged:
    """The leg is the one that speaks in its room."""

    leg: LegId
    at_ns: int
    room: RoomId


class Answerer(enum.Enum):
    """As AnsweredBy has them."""

    HUMAN = "human"
    MACHINE_START = "machine_start"
    MACHINE_END_BEEP = "machine_end_beep"
    MACHINE_END_SILENCE = "machine_end_silence"
    MACHINE_END_OTHER = "machine_end_other"
    FAX = "fax"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AnswerDetected:
    leg: LegId
    at_ns: int
    token: Token
    answerer: Answerer
    after_ms: int
    """Since the detection began."""


@dataclass(frozen=True, slots=True)
class TapFrame:
    sent: bool
    """What the leg sends rather than what it receives or its room says."""
    number: int
    """Counts the 20 ms from the tap's start; frames that were dropped are missing."""
    audio: bytes
    """160 words of µ-law."""


@dataclass(frozen=True, slots=True)
class TapFrames:
    """All that waited, oldest first.  Of what nobody takes for two seconds the oldest is dropped."""

    leg: LegId
    at_ns: int
    token: Token
    frames: tuple[TapFrame, ...]
    dropped: int
    """Frames of this tap so far that were."""


@dataclass(frozen=True, slots=True)
class TapEnded:
    """No more frames: it was stopped, or the leg was closed."""

    leg: LegId
    at_ns: int
    token: Token
    dropped: int


@dataclass(frozen=True, slots=True)
class MarkReached:
    leg: LegId
    at_ns: int
    token: Token
    mark: int
    cleared: bool
    """The audio before it was thrown away."""


@dataclass(frozen=True, slots=True)
class LegClosed:
    """Always the last event of a leg; `counters` as named in `media/counters.py`."""

    leg: LegId
    at_ns: int
    counters: Mapping[str, int]


MediaEvent = (
    PlayEnded
    | DigitBegan
    | DigitReceived
    | DigitsSent
    | RecordingEnded
    | AudioStarted
    | AudioLost
    | Secured
    | NotSecured
    | VoiceStarted
    | VoiceStopped
    | SpeakerChanged
    | AnswerDetected
    | TapFrames
    | TapEnded
    | MarkReached
    | LegClosed
)
MediaSink = Callable[[MediaEvent], None]
