"""The native parts: the RTP engine (source: media/engine/), whose leg ids, tokens and prompt ids are plain
integers, and the door of SIP."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

COUNTERS: list[str]
INTERFACE: str
"""This file, as it was when the engine was built."""

Items = Sequence[tuple[str, int | str]]

def mix_down(source: str | PathLike[str], target: str | PathLike[str]) -> None: ...

class Batch:
    """Commands that are carried out in one step."""

    def __init__(self) -> None: ...
    def set_remote(
        self,
        leg: int,
        *,
        remote: tuple[str, int],
        remote_rtcp: tuple[str, int] | None,
        codec: str,
        payload_type: int,
        event_type: int | None,
        may_send: bool,
        may_receive: bool,
        srtp: tuple[str, bytes, bytes, bytes, bytes] | None = None,
        event_rate: int = 8000,
        browser: tuple[str, str, str, str, bytes, bool] | None = None,
        own_type: int | None = None,
        own_event_type: int | None = None,
        noise_type: int | None = None,
        longest_ms: int = 0,
        is_early: bool = False,
    ) -> None: ...
    def play(
        self, leg: int, token: int, items: Items, loops: int, stop_digits: str, follows: bool
    ) -> None: ...
    def stop_play(self, leg: int) -> None: ...
    def join(self, a: int, b: int) -> None: ...
    def part(self, leg: int) -> None: ...
    def set_line(
        self,
        leg: int,
        line: int,
        *,
        remote: tuple[str, int],
        control: tuple[str, int] | None,
        framing: str,
    ) -> None: ...
    def join_lines(self, leg: int, line: int, other_leg: int, other_line: int) -> None: ...
    def close_line(self, leg: int, line: int) -> None: ...
    def start_recording(
        self,
        leg: int,
        token: int,
        path: str | PathLike[str],
        channels: Sequence[Sequence[tuple[int, str]]],
        *,
        max_ms: int,
        max_size: int,
        silence_ms: int,
        stop_digits: str,
        trim: bool,
    ) -> None: ...
    def stop_recording(self, leg: int, token: int) -> None: ...
    def pause_recording(self, leg: int, token: int, with_silence: bool) -> None: ...
    def resume_recording(self, leg: int, token: int) -> None: ...
    def enter_room(
        self,
        leg: int,
        room: int,
        *,
        muted: bool,
        gain: float,
        coaching: int | None,
        enter_tone: str,
        leave_tone: str,
        rate: int = 0,
    ) -> None: ...
    def set_part(self, leg: int, *, muted: bool, gain: float, coaching: int | None) -> None: ...
    def leave_room(self, leg: int) -> None: ...
    def announce(self, leg: int, token: int, items: Items, loops: int) -> None: ...
    def stop_announcement(self, leg: int, token: int) -> None: ...
    def hold(self, leg: int, token: int, items: Items, loops: int) -> None: ...
    def resume(self, leg: int) -> None: ...
    def listen(self, leg: int, voice: bool, keys: str) -> None: ...
    def detect_answer(
        self,
        leg: int,
        token: int,
        *,
        to_end: bool,
        timeout_ms: int,
        speech_ms: int,
        speech_end_ms: int,
        silence_ms: int,
        greeting_end_ms: int,
    ) -> None: ...
    def stop_detecting(self, leg: int) -> None: ...
    def start_tap(self, leg: int, token: int, side: str) -> None: ...
    def stop_tap(self, leg: int, token: int) -> None: ...
    def open_feed(self, leg: int, token: int, to_room: bool) -> None: ...
    def feed_audio(self, leg: int, token: int, audio: bytes) -> None: ...
    def feed_mark(self, leg: int, token: int, mark: int) -> None: ...
    def clear_feed(self, leg: int, token: int) -> None: ...
    def send_digits(self, leg: int, token: int, digits: str) -> None: ...
    def feed_digit(self, leg: int, digit: str, duration_ms: int) -> None: ...
    def close(self, leg: int) -> None: ...

class Rest:
    """What of a long prompt is still to be decoded."""

    def finish(self) -> int: ...
    def stop(self) -> None: ...

class Engine:
    """Sockets, threads and prompts.

    Events are tuples of a name, the leg, nanoseconds, and:
      play-ended: token, reason, digit, played_ms
      digit-began: digit
      digit-received: digit, duration_ms
      digits-sent: token
      recording-ended: token, reason, digit, duration_ms, size_bytes, error
      audio-started, audio-lost: (nothing), silent_ms
      secured, not-secured: suite, reason
      voice-started, voice-stopped: silent_ms, spoke_ms
      speaker-changed: room
      answer-detected: token, answerer, after_ms
      mark-reached: token, mark, cleared
      tap-frames: token, [(sent, number, audio)], dropped
      tap-ended: token, dropped
      leg-closed: values in the order of COUNTERS
    """

    def __init__(
        self,
        *,
        addresses: Sequence[str],
        first_port: int,
        last_port: int,
        threads: int,
        quarantine_ms: int,
        rtp_timeout_ms: int,
        report_interval_ms: int,
        identity: tuple[bytes, bytes] | None = None,
    ) -> None: ...
    def fileno(self) -> int: ...
    def open(self, family: int) -> tuple[int, int]: ...
    def open_line(self, leg: int) -> tuple[int, int]: ...
    def submit(self, batch: Batch) -> None: ...
    def events(self) -> list[tuple[Any, ...]]: ...
    def load_prompt(
        self, path: str | PathLike[str], content_type: str, longest_ms: int, folder: str | PathLike[str]
    ) -> tuple[int, int, Rest | None]: ...
    def drop_prompt(self, prompt: int) -> None: ...
    def has_prompt(self, prompt: int) -> bool: ...
    def totals(self) -> tuple[list[int], int, int, list[int]]:
        """Sums of COUNTERS, legs, those of them that decode or encode, and the thousandths of its time that
        each thread is busy."""

    def stop(self) -> list[tuple[Any, ...]]: ...

class Door:
    """Reads SIP over UDP on a thread of its own, and turns new calls away that find no room (source:
    sip/door/).  Raises `OSError`."""

    def __init__(self, calls_per_second: float, answers_where_via_says: bool) -> None:
        """New calls to let in, 0: as many as are taken; whether who does not ask for `rport` is answered
        at the port of its Via."""

    def bind(self, listener: int, host: str, port: int, advertised: str) -> int:
        """Open a socket; its port.  Bound to every address, it sends from `advertised` if that is one of this
        machine's."""

    def start(self) -> None:
        """Begin to read what comes to the sockets that are open."""

    def fileno(self) -> int:
        """Readable while something waits to be taken."""

    def sign(self, token: str) -> str:
        """A tag or branch by which a message that brings it back is known to belong to a call."""

    def take(self, new_calls: int) -> list[tuple[bytes, str, int, int]]:
        """What is next, with up to `new_calls` of these: datagram, host and port it came from, and
        the listener it came to."""

    def send(self, listener: int, data: bytes, host: str, port: int) -> None:
        """Raises `ValueError` too, where `host` is no IP literal."""

    def ban(self, host: str, seconds: int) -> None:
        """Do not hear `host` (for IPv6, its network of 64 bits) but for what belongs to calls."""

    def counts(self) -> tuple[int, int, int]:
        """Since the start: new calls turned away, datagrams of banned sources, and others dropped."""

    def close(self) -> None:
        """End the thread and close the sockets."""

def turned_away(data: bytes, host: str, port: int) -> bytes | None:
    """The 503 to a datagram from there, were it a new call for which there is no room; None: it is not
    the door's to answer."""
