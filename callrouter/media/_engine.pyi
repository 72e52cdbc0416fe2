"""The compiled RTP engine (source: engine/).  Leg ids, tokens and prompt ids are plain integers."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

COUNTERS: list[str]

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
        srtp: tuple[str, bytes, bytes] | None = None,
    ) -> None: ...
    def play(
        self, leg: int, token: int, items: Sequence[tuple[str, int | str]], loops: int, stop_digits: str
    ) -> None: ...
    def stop_play(self, leg: int) -> None: ...
    def join(self, a: int, b: int) -> None: ...
    def part(self, leg: int) -> None: ...
    def start_recording(
        self,
        leg: int,
        token: int,
        path: str | PathLike[str],
        channels: Sequence[Sequence[tuple[int, bool]]],
        *,
        max_ms: int,
        silence_ms: int,
        stop_digits: str,
        trim: bool,
    ) -> None: ...
    def stop_recording(self, leg: int, token: int) -> None: ...
    def send_digits(self, leg: int, token: int, digits: str) -> None: ...
    def feed_digit(self, leg: int, digit: str, duration_ms: int) -> None: ...
    def close(self, leg: int) -> None: ...

class Engine:
    """Sockets, threads and prompts.  Events are tuples: name, leg, nanoseconds, arguments."""

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
    ) -> None: ...
    def fileno(self) -> int: ...
    def open(self, family: int) -> tuple[int, int]: ...
    def submit(self, batch: Batch) -> None: ...
    def events(self) -> list[tuple[Any, ...]]: ...
    def load_prompt(self, path: str | PathLike[str], content_type: str) -> tuple[int, int]: ...
    def drop_prompt(self, prompt: int) -> None: ...
    def has_prompt(self, prompt: int) -> bool: ...
    def totals(self) -> tuple[list[int], int]: ...
    def stop(self) -> list[tuple[Any, ...]]: ...
