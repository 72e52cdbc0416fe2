"""What the media engine is told to do with a leg; each command is a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NewType

from callrouter.ports.audio import NegotiatedAudio
from callrouter.ports.leg_id import LegId
from callrouter.ports.media_lines import LineCommand

PromptId = NewType("PromptId", int)
"""Audio held by the engine, shared by every leg that plays it."""
RoomId = NewType("RoomId", int)
"""A room of the engine; chosen by the caller, never used again."""
Token = NewType("Token", int)
"""Chosen by the caller; the events that a command causes echo it."""


@dataclass(frozen=True, slots=True)
class AudioFile:
    """Audio at rest.  `key` names the content: equal keys are equal bytes."""

    path: Path
    content_type: str
    key: str


@dataclass(frozen=True, slots=True)
class PlayPrompt:
    prompt: PromptId


@dataclass(frozen=True, slots=True)
class PlaySilence:
    ms: int


@dataclass(frozen=True, slots=True)
class PlayTone:
    """A generated tone: `beep`, `enter` and `leave` (of a room), or `ringback-XX` with XX a country
    of the Dial `ringTone` list."""

    name: str


@dataclass(frozen=True, slots=True)
class PlayDigits:
    """DTMF sent to the far end; `w` waits 0.5 s, `W` 1 s."""

    digits: str


PlayItem = PlayPrompt | PlaySilence | PlayTone | PlayDigits


@dataclass(frozen=True, slots=True)
class SetRemote:
    leg: LegId
    audio: NegotiatedAudio
    is_early: bool = False
    """The call is not answered yet: no audio of it is missed."""


@dataclass(frozen=True, slots=True)
class Play:
    """Replaces whatever the leg plays; where it `follows`, it begins with the sample after the last of
    that instead.  `loops` = 0 repeats until stopped.  A digit of `stop_digits` received meanwhile ends it
    (and is reported as a digit as well).  What ends a play otherwise ends all that follow it."""

    leg: LegId
    token: Token
    items: tuple[PlayItem, ...]
    loops: int = 1
    stop_digits: str = ""
    follows: bool = False


@dataclass(frozen=True, slots=True)
class StopPlay:
    leg: LegId


@dataclass(frozen=True, slots=True)
class Join:
    """Relay two legs to each other; codecs are bridged where they differ.  Ends what either
    plays.  Digits are still reported."""

    a: LegId
    b: LegId


@dataclass(frozen=True, slots=True)
class Part:
    """Ends the relay a leg is in; both ends go back to sending silence."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class RecordSource:
    """One end of what is recorded: what the leg's far end says (`received`) or hears (`sent`), or
    all that is said in the room it is in (`room`)."""

    leg: LegId
    side: Literal["received", "sent", "room"] = "received"


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Record to a 16-bit WAV of 8 kHz, one channel per entry of `channels`, the sources of an
    entry mixed.  The file appears under `path` only when complete, its folder is made where there is
    none.  Zero means "no such limit"."""

    leg: LegId
    """The leg that owns the recording: its digits and its silence can end it, its closing does."""
    token: Token
    path: Path
    channels: tuple[tuple[RecordSource, ...], ...]
    max_ms: int = 0
    silence_ms: int = 0
    stop_digits: str = ""
    trim_silence: bool = False
    max_size_bytes: int = 0


def partial_recording(path: Path) -> Path:
    """Where a recording lies while it is made."""
    return path.with_name(f".{path.name}.partial")


@dataclass(frozen=True, slots=True)
class StopRecording:
    leg: LegId
    token: Token


@dataclass(frozen=True, slots=True)
class PauseRecording:
    """Leave out what is said until it is resumed; `with_silence` keeps its time.  What is left out
    counts for no limit but, as silence, for length and size."""

    leg: LegId
    token: Token
    with_silence: bool = False


@dataclass(frozen=True, slots=True)
class ResumeRecording:
    leg: LegId
    token: Token


@dataclass(frozen=True, slots=True)
class SendDigits:
    leg: LegId
    token: Token
    digits: str


@dataclass(frozen=True, slots=True)
class FeedDigit:
    """A digit that arrived by signalling (SIP INFO): treated as if heard on the leg."""

    leg: LegId
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class EnterRoom:
    """Hear all others in a room and be heard by them.  Ends a relay, what is played, a hold; the
    room is there from its first member to its last.  Playing to a member, it hears that instead."""

    leg: LegId
    room: RoomId
    muted: bool = False
    gain_db: float = 0.0
    """On what the member says; at most 36."""
    coaching: LegId | None = None
    """The only member that hears this one."""
    enter_tone: str = ""
    leave_tone: str = ""
    """Tones everybody hears as the member enters, and as it leaves in whatever way."""
    rate: Literal[0, 8000, 16000, 48000] = 0
    """What the room mixes at, in hertz; the first that names one counts.  0: the best that the codecs of
    two members have, so that a room of G.711 stays at 8 kHz.  A change costs who speaks 20 ms."""


@dataclass(frozen=True, slots=True)
class SetMember:
    """How a member takes part from now on, all of it."""

    leg: LegId
    muted: bool = False
    gain_db: float = 0.0
    coaching: LegId | None = None


@dataclass(frozen=True, slots=True)
class LeaveRoom:
    """Back to silence."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class Announce:
    """Play to everybody in the room of `leg`, beside the voices.  `PlayEnded` is told to `leg`;
    when that leaves, the announcement goes on."""

    leg: LegId
    token: Token
    items: tuple[PlayItem, ...]
    loops: int = 1


@dataclass(frozen=True, slots=True)
class StopAnnouncement:
    leg: LegId
    token: Token


@dataclass(frozen=True, slots=True)
class Hold:
    """Play to a leg, or be silent without items, instead of the relay or room it is in, which hears
    nothing of it meanwhile.  Its digits are still reported."""

    leg: LegId
    token: Token
    items: tuple[PlayItem, ...] = ()
    loops: int = 0


@dataclass(frozen=True, slots=True)
class Resume:
    """Ends a hold."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class Listen:
    """What is told of the sound a leg receives, whatever it is doing; all of it each time.

    `voice`: `VoiceStarted` and `VoiceStopped`.  `keys`: digits heard as tones, by default (`needed`)
    where the far end did not agree on telephone events."""

    leg: LegId
    voice: bool = False
    keys: Literal["needed", "always", "never"] = "needed"


@dataclass(frozen=True, slots=True)
class DetectAnswer:
    """Find out who answered; exactly one `AnswerDetected` follows."""

    leg: LegId
    token: Token
    to_end: bool = False
    """Wait for the end of a machine's greeting."""
    timeout_ms: int = 30_000
    speech_ms: int = 2400
    """Talk this long is a machine's."""
    speech_end_ms: int = 1200
    """Silence this long after talk ends it."""
    silence_ms: int = 5000
    """Silence this long from the start on leaves it unknown."""
    greeting_end_ms: int = 2000
    """Silence this long after a machine's talk, without a beep, ends its greeting."""


@dataclass(frozen=True, slots=True)
class StopDetecting:
    leg: LegId


@dataclass(frozen=True, slots=True)
class StartTap:
    """Hand over 20 ms frames, in µ-law, as `TapFrames`: of what a leg receives, sends, or both, or of
    all that is said and played in the room it is in, whichever that is at the time."""

    leg: LegId
    token: Token
    side: Literal["received", "sent", "both", "room"] = "received"


@dataclass(frozen=True, slots=True)
class StopTap:
    leg: LegId
    token: Token


@dataclass(frozen=True, slots=True)
class OpenFeed:
    """Play what `FeedAudio` hands over, as it comes, and silence between.  Told as `PlayEnded` when
    it ends.

    To the far end, it replaces what the leg plays and ends its relay; `StopPlay` and the like end it.
    To the room, everybody in the leg's room hears it, the leg included; `StopAnnouncement` ends it,
    and so does leaving the room."""

    leg: LegId
    token: Token
    to: Literal["far-end", "room"] = "far-end"


@dataclass(frozen=True, slots=True)
class FeedAudio:
    """µ-law of 8 kHz, of any length, to be played after what was handed over before.  Beyond five
    minutes waiting it is not taken, and counted."""

    leg: LegId
    token: Token
    audio: bytes


@dataclass(frozen=True, slots=True)
class FeedMark:
    """`MarkReached` when everything handed over before has been played or thrown away."""

    leg: LegId
    token: Token
    mark: int


@dataclass(frozen=True, slots=True)
class ClearFeed:
    """Throw away what waits to be played."""

    leg: LegId
    token: Token


@dataclass(frozen=True, slots=True)
class CloseLeg:
    leg: LegId


RoomCommand = EnterRoom | SetMember | LeaveRoom | Announce | StopAnnouncement | Hold | Resume
ListeningCommand = Listen | DetectAnswer | StopDetecting
StreamCommand = StartTap | StopTap | OpenFeed | FeedAudio | FeedMark | ClearFeed
RecordingCommand = StartRecording | StopRecording | PauseRecording | ResumeRecording
MediaCommand = (
    SetRemote
    | Play
    | StopPlay
    | Join
    | Part
    | RecordingCommand
    | SendDigits
    | FeedDigit
    | RoomCommand
    | ListeningCommand
    | StreamCommand
    | LineCommand
    | CloseLeg
)
