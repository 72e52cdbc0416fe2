"""The media engine as call control sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from callrouter.ports.audio import MediaAddress
from callrouter.ports.leg_id import LegId
from callrouter.ports.media_commands import AudioFile, MediaCommand, PromptId, Token
from callrouter.ports.media_events import MediaSink
from callrouter.ports.media_lines import OpenedLine


@dataclass(frozen=True, slots=True)
class OpenedLeg:
    leg: LegId
    local: MediaAddress
    """The address to put into SDP (the advertised one where that differs from the bound one)."""
    near: MediaAddress | None = None
    """Where legs on this machine reach it; None = `local`."""


class Media(Protocol):
    """The RTP engine.  Nothing here blocks; events arrive on the event loop through the sink."""

    def open(self, family: Literal[4, 6], sink: MediaSink) -> OpenedLeg:
        """Bind a socket at once.  Raises `MediaUnavailable` when ports or sockets run out."""

    def open_line(self, leg: OpenedLeg) -> OpenedLine:
        """Bind ports for media of a leg that is passed on unread.  Raises `MediaUnavailable`."""

    def submit(self, *commands: MediaCommand) -> None:
        """Apply all of `commands` in one step.  Commands to a closed leg are ignored."""

    def token(self) -> Token: ...

    async def prompt(self, audio: AudioFile) -> PromptId:
        """Decode once and share.  Raises `AudioUnplayable` naming what is wrong with the file."""


MixDown = Callable[[Path, Path], None]
"""Writes a recording's channels, added up, to a WAV of one channel.  Blocks.  Raises `OSError`."""
