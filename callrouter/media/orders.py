"""The commands of `callrouter.ports`, written into a batch of the engine."""

from __future__ import annotations

from collections.abc import Iterable

from callrouter import ports
from callrouter._engine import Batch

_SENDING = frozenset({ports.Direction.SENDRECV, ports.Direction.SENDONLY})
_RECEIVING = frozenset({ports.Direction.SENDRECV, ports.Direction.RECVONLY})


def batch_of(commands: Iterable[ports.MediaCommand]) -> Batch:
    """All of `commands`.  Raises `ValueError` for one the engine cannot make sense of."""
    batch = Batch()
    for command in commands:
        _add(batch, command)
    return batch


def _add(batch: Batch, command: ports.MediaCommand) -> None:
    match command:
        case ports.SetRemote():
            _set_remote(batch, command)
        case ports.Play(leg, token, items, loops, stop_digits, follows):
            batch.play(leg, token, _items(items), loops, stop_digits, follows)
        case ports.StopPlay(leg):
            batch.stop_play(leg)
        case ports.Join(a, b):
            batch.join(a, b)
        case ports.Part(leg):
            batch.part(leg)
        case ports.CloseLeg(leg):
            batch.close(leg)
        case ports.SendDigits(leg, token, digits):
            batch.send_digits(leg, token, digits)
        case ports.FeedDigit(leg, digit, duration_ms):
            batch.feed_digit(leg, digit, duration_ms)
        case _:
            _add_rarer(batch, command)


_Rarer = (
    ports.RecordingCommand
    | ports.RoomCommand
    | ports.ListeningCommand
    | ports.StreamCommand
    | ports.LineCommand
)


def _add_rarer(batch: Batch, command: _Rarer) -> None:
    match command:
        case (
            ports.StartRecording() | ports.StopRecording() | ports.PauseRecording() | ports.ResumeRecording()
        ):
            _add_recording(batch, command)
        case ports.Listen() | ports.DetectAnswer() | ports.StopDetecting():
            _add_listening(batch, command)
        case (
            ports.StartTap()
            | ports.StopTap()
            | ports.OpenFeed()
            | ports.FeedAudio()
            | ports.FeedMark()
            | ports.ClearFeed()
        ):
            _add_stream(batch, command)
        case ports.SetLine() | ports.JoinLines() | ports.CloseLine():
            _add_line(batch, command)
        case _:
            _add_room(batch, command)


def _add_recording(batch: Batch, command: ports.RecordingCommand) -> None:
    match command:
        case ports.StartRecording():
            _start_recording(batch, command)
        case ports.StopRecording(leg, token):
            batch.stop_recording(leg, token)
        case ports.PauseRecording(leg, token, with_silence):
            batch.pause_recording(leg, token, with_silence)
        case ports.ResumeRecording(leg, token):
            batch.resume_recording(leg, token)


def _add_room(batch: Batch, command: ports.RoomCommand) -> None:
    match command:
        case ports.EnterRoom(leg, room, muted, gain_db, coaching, enter_tone, leave_tone, rate):
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
        case ports.SetMember(leg, muted, gain_db, coaching):
            batch.set_part(leg, muted=muted, gain=_factor(gain_db), coaching=coaching)
        case ports.LeaveRoom(leg):
            batch.leave_room(leg)
        case ports.Announce(leg, token, items, loops):
            batch.announce(leg, token, _items(items), loops)
        case ports.StopAnnouncement(leg, token):
            batch.stop_announcement(leg, token)
        case ports.Hold(leg, token, items, loops):
            batch.hold(leg, token, _items(items), loops)
        case ports.Resume(leg):
            batch.resume(leg)


def _add_listening(batch: Batch, command: ports.ListeningCommand) -> None:
    match command:
        case ports.Listen(leg, voice, keys):
            batch.listen(leg, voice, keys)
        case ports.DetectAnswer():
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
        case ports.StopDetecting(leg):
            batch.stop_detecting(leg)


def _add_stream(batch: Batch, command: ports.StreamCommand) -> None:
    match command:
        case ports.StartTap(leg, token, side):
            batch.start_tap(leg, token, side)
        case ports.StopTap(leg, token):
            batch.stop_tap(leg, token)
        case ports.OpenFeed(leg, token, to):
            batch.open_feed(leg, token, to == "room")
        case ports.FeedAudio(leg, token, audio):
            batch.feed_audio(leg, token, audio)
        case ports.FeedMark(leg, token, mark):
            batch.feed_mark(leg, token, mark)
        case ports.ClearFeed(leg, token):
            batch.clear_feed(leg, token)


def _add_line(batch: Batch, command: ports.LineCommand) -> None:
    match command:
        case ports.SetLine(leg, line, remote, control, framing):
            pair = None if control is None else _pair(control)
            batch.set_line(leg, line, remote=_pair(remote), control=pair, framing=framing)
        case ports.JoinLines(leg, line, other_leg, other_line):
            batch.join_lines(leg, line, other_leg, other_line)
        case ports.CloseLine(leg, line):
            batch.close_line(leg, line)


def _factor(gain_db: float) -> float:
    return float(10 ** (gain_db / 20))


def _set_remote(batch: Batch, command: ports.SetRemote) -> None:
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
        srtp=None if keys is None else (keys.suite, keys.send, keys.receive, keys.send_mki, keys.mki),
        browser=None if audio.browser is None else _browser(audio.browser),
        noise_type=audio.noise_payload_type,
        longest_ms=audio.longest_ms,
        is_early=command.is_early,
    )


def _browser(peer: ports.BrowserPeer) -> tuple[str, str, str, str, bytes, bool]:
    return (
        peer.local_ufrag,
        peer.remote_ufrag,
        peer.local_password,
        peer.hash,
        peer.digest,
        peer.is_client,
    )


def _start_recording(batch: Batch, command: ports.StartRecording) -> None:
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


def _pair(address: ports.MediaAddress) -> tuple[str, int]:
    return address.host, address.port


def _items(items: tuple[ports.PlayItem, ...]) -> list[tuple[str, int | str]]:
    return [_item(item) for item in items]


def _item(item: ports.PlayItem) -> tuple[str, int | str]:
    match item:
        case ports.PlayPrompt(prompt):
            return "prompt", prompt
        case ports.PlaySilence(ms):
            return "silence", ms
        case ports.PlayTone(name):
            return "tone", name
        case ports.PlayDigits(digits):
            return "digits", digits
