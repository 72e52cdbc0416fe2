"""The seam between Python and the engine: names, orders and events agree on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from callrouter.media import _engine
from callrouter.media.counters import COUNTERS, GAUGES
from callrouter.media.news import event_of
from callrouter.media.orders import batch_of
from callrouter.ports import (
    LegId,
    MediaAddress,
    NegotiatedAudio,
    Play,
    PlayTone,
    RecordSource,
    SetRemote,
    StartRecording,
    Token,
)

LEG = LegId(1)


def test_both_sides_name_the_same_counters_in_the_same_order() -> None:
    assert list(COUNTERS) == _engine.COUNTERS
    assert set(COUNTERS) > GAUGES


def remote(**changes: object) -> SetRemote:
    audio: dict[str, object] = {
        "remote": MediaAddress("127.0.0.1", 4000),
        "remote_rtcp": None,
        "codec": "PCMU",
        "payload_type": 0,
        "dtmf_payload_type": 101,
    }
    return SetRemote(LEG, NegotiatedAudio(**(audio | changes)))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (remote(codec="SPEEX"), "SPEEX"),
        (remote(remote=MediaAddress("example.com", 1)), "not an IP address"),
        (remote(remote_rtcp=MediaAddress("", 1)), "not an IP address"),
        (remote(payload_type=128), "below 128"),
        (remote(dtmf_payload_type=200), "below 128"),
        (Play(LEG, Token(1), (PlayTone("ringback-xx"),)), "ringback-xx"),
        (StartRecording(LEG, Token(1), Path("x.wav"), ()), "channels"),
        (StartRecording(LEG, Token(1), Path("/"), ((RecordSource(LEG),),)), "file name"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_before_anything_is_done(
    command: SetRemote | Play | StartRecording, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        batch_of([command])


def test_an_unknown_event_is_not_passed_over() -> None:
    with pytest.raises(KeyError):
        event_of(("sneezed", 1, 2))
