"""The engine's event tuples, read as the events of `callrouter.ports`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callrouter import ports
from callrouter.media.counters import by_name

READERS: dict[str, Callable[..., ports.MediaEvent]] = {
    "play-ended": lambda leg, at_ns, token, reason, digit, played_ms: ports.PlayEnded(
        leg, at_ns, token, ports.PlayEnd(reason), digit, played_ms
    ),
    "digit-began": ports.DigitBegan,
    "digit-received": ports.DigitReceived,
    "digits-sent": ports.DigitsSent,
    "recording-ended": lambda leg, at_ns, token, reason, *rest: ports.RecordingEnded(
        leg, at_ns, token, ports.RecordingEnd(reason), *rest
    ),
    "audio-started": ports.AudioStarted,
    "audio-lost": ports.AudioLost,
    "secured": ports.Secured,
    "not-secured": ports.NotSecured,
    "voice-started": ports.VoiceStarted,
    "voice-stopped": ports.VoiceStopped,
    "speaker-changed": ports.SpeakerChanged,
    "answer-detected": lambda leg, at_ns, token, answerer, after_ms: ports.AnswerDetected(
        leg, at_ns, token, ports.Answerer(answerer), after_ms
    ),
    "tap-frames": lambda leg, at_ns, token, frames, dropped: ports.TapFrames(
        leg, at_ns, token, tuple(ports.TapFrame(*frame) for frame in frames), dropped
    ),
    "tap-ended": ports.TapEnded,
    "mark-reached": ports.MarkReached,
    "leg-closed": lambda leg, at_ns, values: ports.LegClosed(leg, at_ns, by_name(values)),
}


def event_of(told: tuple[Any, ...]) -> ports.MediaEvent:
    name, *fields = told
    return READERS[name](*fields)
