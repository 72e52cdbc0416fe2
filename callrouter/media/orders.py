"""The commands of `callrouter.ports`, written into a batch of the engine."""

from __future__ import annotations

from collections.abc import Iterable

from callrouter.media._engine import Batch
from callrouter.ports import (
    CloseLeg,
    Direction,
    FeedDigit,
    Join,
    MediaAddress,
    MediaCommand,
    Part,
    Play,
    PlayDigits,
    PlayItem,
    PlayPrompt,
    PlaySilence,
    PlayTone,
    SendDigits,
    SetRemote,
    StartRecording,
    StopPlay,
    StopRecording,
)

_SENDING = frozenset({Direction.SENDRECV, Direction.SENDONLY})
_RECEIVING = frozenset({Direction.SENDRECV, Direction.RECVONLY})


def batch_of(commands: Iterable[MediaCommand]) -> Batch:
    """All of `commands`.  Raises `ValueError` for one the engine cannot make sense of."""
    batch = Batch()
    for command in commands:
        _add(batch, command)
    return batch


def _add(batch: Batch, command: MediaCommand) -> None:
    match command:
        case SetRemote():
            _set_remote(batch, command)
        case Play(leg, token, items, loops, stop_digits):
            batch.play(leg, token, [_item(item) for item in items], loops, stop_digits)
        case StopPlay(leg):
            batch.stop_play(leg)
        case Join(a, b):
            batch.join(a, b)
        case Part(leg):
            batch.part(leg)
        case CloseLeg(leg):
            batch.close(leg)
        case _:
            _add_rarer(batch, command)


def _add_rarer(batch: Batch, command: StartRecording | StopRecording | SendDigits | FeedDigit) -> None:
    match command:
        case StartRecording():
            _start_recording(batch, command)
        case StopRecording(leg, token):
            batch.stop_recording(leg, token)
        case SendDigits(leg, token, digits):
            batch.send_digits(leg, token, digits)
        case FeedDigit(leg, digit, duration_ms):
            batch.feed_digit(leg, digit, duration_ms)


def _set_remote(batch: Batch, command: SetRemote) -> None:
    audio, keys = command.audio, command.audio.keys
    batch.set_remote(
        command.leg,
        remote=_pair(audio.remote),
        remote_rtcp=None if audio.remote_rtcp is None else _pair(audio.remote_rtcp),
        codec=audio.codec,
        payload_type=audio.payload_type,
        event_type=audio.dtmf_payload_type,
        may_send=audio.direction in _SENDING,
        may_receive=audio.direction in _RECEIVING,
        srtp=None if keys is None else (keys.suite, keys.send, keys.receive),
    )


def _start_recording(batch: Batch, command: StartRecording) -> None:
    batch.start_recording(
        command.leg,
        command.token,
        command.path,
        [[(source.leg, source.side == "sent") for source in channel] for channel in command.channels],
        max_ms=command.max_ms,
        silence_ms=command.silence_ms,
        stop_digits=command.stop_digits,
        trim=command.trim_silence,
    )


def _pair(address: MediaAddress) -> tuple[str, int]:
    return address.host, address.port


def _item(item: PlayItem) -> tuple[str, int | str]:
    match item:
        case PlayPrompt(prompt):
            return "prompt", prompt
        case PlaySilence(ms):
            return "silence", ms
        case PlayTone(name):
            return "tone", name
        case PlayDigits(digits):
            return "digits", digits
