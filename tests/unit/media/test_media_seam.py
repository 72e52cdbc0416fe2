"""The seam between Python and the engine: names, orders and events agree on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from callrouter import _engine
from callrouter.errors import StartupError
from callrouter.media import RtpMedia, Settings
from callrouter.media.age import find_difference
from callrouter.media.counters import COUNTERS, GAUGES
from callrouter.media.news import READERS, event_of
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


def test_every_event_that_is_read_is_part_of_the_interface() -> None:
    assert [name for name in READERS if name not in _engine.INTERFACE] == []


@pytest.mark.parametrize(
    ("built", "interface", "told"),
    [
        (["a"], "x", "counts nothing more where b is expected"),
        (["a", "c"], "x", "counts c where b is expected"),
        (["a", "b", "c"], "x", "counts c where nothing more is expected"),
        (["a", "b"], "x\nz", "line 2 ('y')"),
        (["a", "b"], "z\ny", "line 1 ('x')"),
        (["a", "b"], "", "does not know"),
    ],
)
def test_what_an_engine_of_another_version_has_otherwise_is_named(
    built: list[str], interface: str, told: str
) -> None:
    assert told in find_difference(built, interface, ["a", "b"], "x\ny")


def test_an_engine_of_this_version_differs_in_nothing() -> None:
    assert find_difference(["a"], "x", ["a"], "x") == ""
    assert find_difference(["a"], "x", ["a"], None) == "", "an installation without stubs"


async def test_a_server_with_the_engine_of_another_version_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_engine, "COUNTERS", _engine.COUNTERS[:-1])
    with pytest.raises(StartupError, match=r"_engine\..*so\).*reported_mos_x100.*make \.venv/\.engine"):
        await RtpMedia(Settings()).start()


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
