"""The engine's event tuples, read as the events of `callrouter.ports`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callrouter.media.counters import by_name
from callrouter.ports import (
    AudioLost,
    AudioStarted,
    DigitReceived,
    DigitsSent,
    LegClosed,
    MediaEvent,
    PlayEnd,
    PlayEnded,
    RecordingEnd,
    RecordingEnded,
)

_READERS: dict[str, Callable[..., MediaEvent]] = {
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
    "leg-closed": lambda leg, at_ns, values: LegClosed(leg, at_ns, by_name(values)),
}


def event_of(told: tuple[Any, ...]) -> MediaEvent:
    name, *fields = told
    return _READERS[name](*fields)
