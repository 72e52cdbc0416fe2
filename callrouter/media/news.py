"""The engine's event tuples, read as the events of `callrouter.ports`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callrouter.media.counters import by_name
from callrouter.ports import (
    AnswerDetected,
    Answerer,
    AudioLost,
    AudioStarted,
    DigitReceived,
    DigitsSent,
    LegClosed,
    MarkReached,
    MediaEvent,
    NotSecured,
    PlayEnd,
    PlayEnded,
    RecordingEnd,
    RecordingEnded,
    Secured,
    SpeakerChanged,
    TapEnded,
    TapFrame,
    TapFrames,
    VoiceStarted,
    VoiceStopped,
)

READERS: dict[str, Callable[..., MediaEvent]] = {
    "play-ended": lambda leg, at_ns, token, reason, digit, played_ms: PlayEnded(
        leg, at_ns, token, PlayEnd(reason), digit, played_ms
    ),
    "digit-received": DigitReceived,
    "digits-sent": DigitsSent,
    "recording-ended": lambda leg, at_ns, token, reason, *rest: RecordingEnded(
        leg, at_ns, token, RecordingEnd(reason), *rest
    ),
    "audio-started": AudioStarted,
    "audio-lost": AudioLost,
    "secured": Secured,
    "not-secured": NotSecured,
    "voice-started": VoiceStarted,
    "voice-stopped": VoiceStopped,
    "speaker-changed": SpeakerChanged,
    "answer-detected": lambda leg, at_ns, token, answerer, after_ms: AnswerDetected(
        leg, at_ns, token, Answerer(answerer), after_ms
    ),
    "tap-frames": lambda leg, at_ns, token, frames, dropped: TapFrames(
        leg, at_ns, token, tuple(TapFrame(*frame) for frame in frames), dropped
    ),
    "tap-ended": TapEnded,
    "mark-reached": MarkReached,
    "leg-closed": lambda leg, at_ns, values: LegClosed(leg, at_ns, by_name(values)),
}


def event_of(told: tuple[Any, ...]) -> MediaEvent:
    name, *fields = told
    return READERS[name](*fields)
