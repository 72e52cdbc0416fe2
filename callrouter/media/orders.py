"""The commands of `callrouter.ports`, written into a batch of the engine."""

from __future__ import annotations

from collections.abc import Iterable

from callrouter._engine import Batch
from callrouter.ports import (
    Announce,
    BrowserPeer,
    ClearFeed,
    CloseLeg,
    CloseLine,
    DetectAnswer,
    Direction,
    EnterRoom,
    FeedAudio,
    FeedDigit,
    FeedMark,
    Hold,
    Join,
    JoinLines,
    LeaveRoom,
    LineCommand,
    Listen,
    ListeningCommand,
    MediaAddress,
    MediaCommand,
    OpenFeed,
    Part,
    PauseRecording,
    Play,
    PlayDigits,
    PlayItem,
    PlayPrompt,
    PlaySilence,
    PlayTone,
    RecordingCommand,
    Resume,
    ResumeRecording,
    RoomCommand,
    SendDigits,
    SetLine,
    SetMember,
    SetRemote,
    StartRecording,
    StartTap,
    StopAnnouncement,
    StopDetecting,
    StopPlay,
    StopRecording,
    StopTap,
    StreamCommand,
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
            batch.play(leg, token, _items(items), loops, stop_digits)
        case StopPlay(leg):
            batch.stop_play(leg)
        case Join(a, b):
            batch.join(a, b)
        case Part(leg):
            batch.part(leg)
        case CloseLeg(leg):
            batch.close(leg)
        case SendDigits(leg, token, digits):
            batch.send_digits(leg, token, digits)
        case FeedDigit(leg, digit, duration_ms):
            batch.feed_digit(leg, digit, duration_ms)
        case _:
            _add_rarer(batch, command)


def _add_rarer(
    batch: Batch, command: RecordingCommand | RoomCommand | ListeningCommand | StreamCommand | LineCommand
) -> None:
    match command:
        case StartRecording() | StopRecording() | PauseRecording() | ResumeRecording():
            _add_recording(batch, command)
        case Listen() | DetectAnswer() | StopDetecting():
            _add_listening(batch, command)
        case StartTap() | StopTap() | OpenFeed() | FeedAudio() | FeedMark() | ClearFeed():
            _add_stream(batch, command)
        case SetLine() | JoinLines() | CloseLine():
            _add_line(batch, command)
        case _:
            _add_room(batch, command)


def _add_recording(batch: Batch, command: RecordingCommand) -> None:
    match command:
        case StartRecording():
            _start_recording(batch, command)
        case StopRecording(leg, token):
            batch.stop_recording(leg, token)
        case PauseRecording(leg, token, with_silence):
            batch.pause_recording(leg, token, with_silence)
        case ResumeRecording(leg, token):
            batch.resume_recording(leg, token)


def _add_room(batch: Batch, command: RoomCommand) -> None:
    match command:
        case EnterRoom(leg, room, muted, gain_db, coaching, enter_tone, leave_tone, rate):
            batch.enter_room(
                leg,
                room,
                muted=muted,
                gain=_factor(gain_db),
                coaching=coaching,
                enter_tone=enter_tone,
                leave_tone=leave_tone,
                rate=rate,
            )
        case SetMember(leg, muted, gain_db, coaching):
            batch.set_part(leg, muted=muted, gain=_factor(gain_db), coaching=coaching)
        case LeaveRoom(leg):
            batch.leave_room(leg)
        case Announce(leg, token, items, loops):
            batch.announce(leg, token, _items(items), loops)
        case StopAnnouncement(leg, token):
            batch.stop_announcement(leg, token)
        case Hold(leg, token, items, loops):
            batch.hold(leg, token, _items(items), loops)
        case Resume(leg):
            batch.resume(leg)


def _add_listening(batch: Batch, command: ListeningCommand) -> None:
    match command:
        case Listen(leg, voice, keys):
            batch.listen(leg, voice, keys)
        case DetectAnswer():
            batch.detect_answer(
                command.leg,
                command.token,
                to_end=command.to_end,
                timeout_ms=command.timeout_ms,
                speech_ms=command.speech_ms,
                speech_end_ms=command.speech_end_ms,
                silence_ms=command.silence_ms,
                greeting_end_ms=command.greeting_end_ms,
            )
        case StopDetecting(leg):
            batch.stop_detecting(leg)


def _add_stream(batch: Batch, command: StreamCommand) -> None:
    match command:
        case StartTap(leg, token, side):
            batch.start_tap(leg, token, side)
        case StopTap(leg, token):
            batch.stop_tap(leg, token)
        case OpenFeed(leg, token, to):
            batch.open_feed(leg, token, to == "room")
        case FeedAudio(leg, token, audio):
            batch.feed_audio(leg, token, audio)
        case FeedMark(leg, token, mark):
            batch.feed_mark(leg, token, mark)
        case ClearFeed(leg, token):
            batch.clear_feed(leg, token)


def _add_line(batch: Batch, command: LineCommand) -> None:
    match command:
        case SetLine(leg, line, remote, control, framing):
            pair = None if control is None else _pair(control)
            batch.set_line(leg, line, remote=_pair(remote), control=pair, framing=framing)
        case JoinLines(leg, line, other_leg, other_line):
            batch.join_lines(leg, line, other_leg, other_line)
        case CloseLine(leg, line):
            batch.close_line(leg, line)


def _factor(gain_db: float) -> float:
    return float(10 ** (gain_db / 20))


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
        own_type=audio.own_payload_type,
        own_event_type=audio.own_dtmf_payload_type,
        event_rate=audio.dtmf_clock_rate,
        srtp=None if keys is None else (keys.suite, keys.send, keys.receive),
        browser=None if audio.browser is None else _browser(audio.browser),
        noise_type=audio.noise_payload_type,
    )


def _browser(peer: BrowserPeer) -> tuple[str, str, str, str, bytes, bool]:
    return (
        peer.local_ufrag,
        peer.remote_ufrag,
        peer.local_password,
        peer.hash,
        peer.digest,
        peer.is_client,
    )


def _start_recording(batch: Batch, command: StartRecording) -> None:
    batch.start_recording(
        command.leg,
        command.token,
        command.path,
        [[(source.leg, source.side) for source in channel] for channel in command.channels],
        max_ms=command.max_ms,
        max_size=command.max_size_bytes,
        silence_ms=command.silence_ms,
        stop_digits=command.stop_digits,
        trim=command.trim_silence,
    )


def _pair(address: MediaAddress) -> tuple[str, int]:
    return address.host, address.port


def _items(items: tuple[PlayItem, ...]) -> list[tuple[str, int | str]]:
    return [_item(item) for item in items]


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
