"""Every seam between the rooms: the Protocols, and the values that cross them.

A room implements a port without inheriting from it and imports nothing of the room on the other
side.  `callrouter.app` is the only place where an implementation meets its user.

Units, everywhere: `*_ns` is nanoseconds of the monotonic clock (`CLOCK_MONOTONIC`, the one the
media engine stamps its events with), `*_ms` milliseconds, `*_seconds` seconds.  Telephone numbers
are E.164 with `+` where they can be normalised, otherwise as received.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NewType, Protocol

# --------------------------------------------------------------------------- time, chance, figures


class Clock(Protocol):
    """The only source of time of the rooms that measure or bill it."""

    def monotonic_ns(self) -> int: ...
    def utc_ms(self) -> int: ...


class Ids(Protocol):
    """The only source of identifiers and secrets; tests inject a counting one."""

    def sid(self, prefix: str) -> str:
        """`prefix` (two letters) and 32 lower-case hex digits, as the compatible API has them."""

    def token(self, size: int = 16) -> str:
        """`size` random bytes in lower-case hex: branches, tags, control tokens."""


class Metrics(Protocol):
    """Counters for Prometheus.  Names and label names are declared once, in
    `metering/prometheus.py`; an undeclared one is a programming error and raises."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...
    def observe(self, name: str, value: float, **labels: str) -> None: ...
    def gauge(self, name: str, value: float, **labels: str) -> None: ...


# --------------------------------------------------------------------------- audio and addresses


class Direction(enum.Enum):
    """Media direction as *we* are allowed to use it (RFC 3264 §5.1, already mirrored)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """Where RTP goes.  `host` is an IP literal, without brackets."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What protects an audio stream (RFC 4568): each end's own key, for what it sends."""

    suite: str
    """As `a=crypto` names it: `AES_CM_128_HMAC_SHA1_80`, `AEAD_AES_256_GCM` …"""
    send: bytes = field(repr=False)
    """Master key and, behind it, master salt."""
    receive: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NegotiatedAudio:
    """What offer and answer agreed on for one audio stream, from our side."""

    remote: MediaAddress
    remote_rtcp: MediaAddress | None
    codec: str
    """Encoding name in upper case: `PCMU`, `PCMA`, `G722`, `OPUS`."""
    payload_type: int
    """Number we send it with; we also accept it with this number."""
    dtmf_payload_type: int | None
    """RFC 4733 telephone-event number, or None: the peer did not offer it."""
    direction: Direction = Direction.SENDRECV
    ptime_ms: int = 20
    keys: SrtpKeys | None = None
    """None: RTP as it is."""
    dtmf_clock_rate: int = 8000
    """Of the telephone events; that of the codec, where the peer offers it."""


# --------------------------------------------------------------------------- media engine

LegId = NewType("LegId", int)
"""An engine leg: slot number and generation in one integer; a closed leg's id never works again."""
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


@dataclass(frozen=True, slots=True)
class Play:
    """Replaces whatever the leg plays.  `loops` = 0 repeats until stopped.  A digit of
    `stop_digits` received meanwhile ends it (and is reported as a digit as well)."""

    leg: LegId
    token: Token
    items: tuple[PlayItem, ...]
    loops: int = 1
    stop_digits: str = ""


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
    entry mixed.  The file appears under `path` only when complete.  Zero means "no such limit"."""

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
    """Find out who answered (twiml.md §2.3); exactly one `AnswerDetected` follows."""

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
    """Hand over 20 ms frames of what a leg receives, sends, or both, in µ-law, as `TapFrames`."""

    leg: LegId
    token: Token
    side: Literal["received", "sent", "both"] = "received"


@dataclass(frozen=True, slots=True)
class StopTap:
    leg: LegId
    token: Token


@dataclass(frozen=True, slots=True)
class OpenFeed:
    """Play what `FeedAudio` hands over, as it comes, and silence between.  Replaces what the leg
    plays and ends its relay; `StopPlay` and the like end it, told as `PlayEnded`."""

    leg: LegId
    token: Token


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
    | CloseLeg
)


class PlayEnd(enum.Enum):
    FINISHED = "finished"
    STOPPED = "stopped"
    DIGIT = "digit"
    REPLACED = "replaced"
    CLOSED = "closed"


class RecordingEnd(enum.Enum):
    STOPPED = "stopped"
    SILENCE = "silence"
    DIGIT = "digit"
    MAX_LENGTH = "max-length"
    MAX_SIZE = "max-size"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PlayEnded:
    leg: LegId
    at_ns: int
    token: Token
    reason: PlayEnd
    digit: str
    played_ms: int


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """One key press, reported once, at its end or when a new one begins."""

    leg: LegId
    at_ns: int
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class DigitsSent:
    leg: LegId
    at_ns: int
    token: Token


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """The file is complete and synced when this arrives (or `error` says why it is not)."""

    leg: LegId
    at_ns: int
    token: Token
    reason: RecordingEnd
    digit: str
    duration_ms: int
    size_bytes: int
    error: str


@dataclass(frozen=True, slots=True)
class AudioStarted:
    """The first RTP packet of the far end was accepted."""

    leg: LegId
    at_ns: int


@dataclass(frozen=True, slots=True)
class AudioLost:
    """No RTP for the configured time-out on a leg that should be receiving."""

    leg: LegId
    at_ns: int
    silent_ms: int


@dataclass(frozen=True, slots=True)
class VoiceStarted:
    """Somebody talks, after so much silence."""

    leg: LegId
    at_ns: int
    silent_ms: int


@dataclass(frozen=True, slots=True)
class VoiceStopped:
    """They have stopped, having talked for so long; told when it is certain, 0.3 s later."""

    leg: LegId
    at_ns: int
    spoke_ms: int


@dataclass(frozen=True, slots=True)
class SpeakerChanged:
    """The leg is the one that speaks in its room."""

    leg: LegId
    at_ns: int
    room: RoomId


class Answerer(enum.Enum):
    """As AnsweredBy has them (twiml.md §2.3)."""

    HUMAN = "human"
    MACHINE_START = "machine_start"
    MACHINE_END_BEEP = "machine_end_beep"
    MACHINE_END_SILENCE = "machine_end_silence"
    MACHINE_END_OTHER = "machine_end_other"
    FAX = "fax"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AnswerDetected:
    leg: LegId
    at_ns: int
    token: Token
    answerer: Answerer
    after_ms: int
    """Since the detection began."""


@dataclass(frozen=True, slots=True)
class TapFrame:
    sent: bool
    """What the leg sends rather than what it receives."""
    number: int
    """Counts the 20 ms from the tap's start; frames that were dropped are missing."""
    audio: bytes
    """160 words of µ-law."""


@dataclass(frozen=True, slots=True)
class TapFrames:
    """All that waited, oldest first.  Of what nobody takes for two seconds the oldest is dropped."""

    leg: LegId
    at_ns: int
    token: Token
    frames: tuple[TapFrame, ...]
    dropped: int
    """Frames of this tap so far that were."""


@dataclass(frozen=True, slots=True)
class TapEnded:
    """No more frames: it was stopped, or the leg was closed."""

    leg: LegId
    at_ns: int
    token: Token
    dropped: int


@dataclass(frozen=True, slots=True)
class MarkReached:
    leg: LegId
    at_ns: int
    token: Token
    mark: int
    cleared: bool
    """The audio before it was thrown away."""


@dataclass(frozen=True, slots=True)
class LegClosed:
    """Always the last event of a leg; `counters` as named in `media/counters.py`."""

    leg: LegId
    at_ns: int
    counters: Mapping[str, int]


MediaEvent = (
    PlayEnded
    | DigitReceived
    | DigitsSent
    | RecordingEnded
    | AudioStarted
    | AudioLost
    | VoiceStarted
    | VoiceStopped
    | SpeakerChanged
    | AnswerDetected
    | TapFrames
    | TapEnded
    | MarkReached
    | LegClosed
)
MediaSink = Callable[[MediaEvent], None]


@dataclass(frozen=True, slots=True)
class OpenedLeg:
    leg: LegId
    local: MediaAddress
    """The address to put into SDP (the advertised one where that differs from the bound one)."""


class Media(Protocol):
    """The RTP engine.  Nothing here blocks; events arrive on the event loop through the sink."""

    def open(self, family: Literal[4, 6], sink: MediaSink) -> OpenedLeg:
        """Bind a socket at once.  Raises `MediaUnavailable` when ports or sockets run out."""

    def submit(self, *commands: MediaCommand) -> None:
        """Apply all of `commands` in one step.  Commands to a closed leg are ignored."""

    def token(self) -> Token: ...

    async def prompt(self, audio: AudioFile) -> PromptId:
        """Decode once and share.  Raises `AudioUnplayable` naming what is wrong with the file."""


# --------------------------------------------------------------------------- signalling (SIP)


@dataclass(frozen=True, slots=True)
class Ringing:
    at_ns: int
    status: int
    early: NegotiatedAudio | None


@dataclass(frozen=True, slots=True)
class Answered:
    at_ns: int
    audio: NegotiatedAudio
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The ACK of a call we answered arrived; `audio` where the ACK carried the answer."""

    at_ns: int
    audio: NegotiatedAudio | None


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """A re-INVITE or UPDATE changed the stream; SIP has answered it already."""

    at_ns: int
    audio: NegotiatedAudio


@dataclass(frozen=True, slots=True)
class Failed:
    """An outgoing call got a final answer that is not 2xx (408 and 503 are also made up here
    for time-outs and transport failures; 487 after our own CANCEL)."""

    at_ns: int
    status: int
    reason: str
    headers: Mapping[str, str]


class EndCause(enum.Enum):
    """Why the signalling of a leg ended without our asking."""

    BYE = "bye"
    CANCEL = "cancel"
    NO_ACK = "no-ack"
    TIMEOUT = "timeout"
    TRANSPORT = "transport"


@dataclass(frozen=True, slots=True)
class Ended:
    at_ns: int
    cause: EndCause
    detail: str
    """For people: what the BYE or CANCEL said about itself, or what we found out."""
    q850: int = 0
    """Cause of ITU-T Q.850 that a Reason header named (RFC 3326); 0 = none."""


@dataclass(frozen=True, slots=True)
class InfoDigit:
    at_ns: int
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """The far end asks, by REFER or INFO, that control of a call pass to `target`.  Nothing has been
    answered yet: `SipLeg.settle_transfer` does that."""

    at_ns: int
    request: int
    """Names it to `settle_transfer` and `conclude_transfer`."""
    target: str
    token: str
    """Not verified: whoever owns the call knows which tokens were given out."""


@dataclass(frozen=True, slots=True)
class ReferProgress:
    """How far the far end got with what `SipLeg.refer` asked of it."""

    at_ns: int
    status: int
    is_final: bool


SignalEvent = (
    Ringing
    | Answered
    | Confirmed
    | MediaChanged
    | Failed
    | Ended
    | InfoDigit
    | TransferRequested
    | ReferProgress
)
SignalSink = Callable[[SignalEvent], None]


@dataclass(frozen=True, slots=True)
class OutgoingCall:
    target: str
    """`sip:`/`sips:` URI, or a number to be sent through a trunk."""
    caller: str
    """User part or full SIP URI for From."""
    caller_name: str
    local: MediaAddress
    headers: tuple[tuple[str, str], ...] = ()
    username: str = ""
    password: str = ""
    trunk: str = ""
    is_private: bool = False
    """The callee must not learn who calls; a carrier still does."""
    diverted_from: str = ""
    """Number the call was for before it was passed on."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call to a target would go: what media must know before the offer is written."""

    family: Literal[4, 6]


class SipLeg(Protocol):
    """One call's signalling, incoming or outgoing.  Methods called in a state that does not
    allow them do nothing: the peer may have hung up while we were deciding."""

    @property
    def call_id(self) -> str: ...
    @property
    def received_ns(self) -> int: ...
    @property
    def request_uri(self) -> str: ...
    @property
    def from_uri(self) -> str: ...
    @property
    def from_name(self) -> str: ...
    @property
    def to_uri(self) -> str: ...
    @property
    def source(self) -> MediaAddress: ...
    @property
    def transport(self) -> str: ...
    @property
    def family(self) -> Literal[4, 6]: ...
    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the INVITE (of the 200 on an outgoing leg), canonical names, first value."""

    @property
    def audio(self) -> NegotiatedAudio | None:
        """What the INVITE's offer leads to; None when it had no offer (the offer goes in our 200)."""

    def attach(self, sink: SignalSink) -> None:
        """Deliver events to `sink`, those that already happened first."""

    def ring(self) -> None:
        """180."""

    def progress(self, local: MediaAddress) -> None:
        """183 with an answer: early media."""

    def answer(self, local: MediaAddress) -> None:
        """200, retransmitted until the ACK."""

    def reject(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None: ...

    def hangup(self, reason: str = "") -> None:
        """BYE, CANCEL or a final refusal, whichever the state asks for."""

    def hold(self, on: bool) -> None:
        """re-INVITE with `sendonly` or back to `sendrecv`."""

    def refer(self, target: str, replaces: str = "") -> None:
        """Ask the far end to call `target` (a URI), in place of the dialog that `replaces` names
        (the escaped value of a Replaces header, as `replaces_value` gives it); `ReferProgress` tells
        what came of it.  One at a time."""

    def replaces_value(self) -> str:
        """What names this call's dialog to somebody who is to take its far end's place; "" before
        there is one."""

    def settle_transfer(self, request: int, accepted: bool) -> None:
        """Answer a `TransferRequested`: 202 (200 to an INFO), or 403."""

    def conclude_transfer(self, request: int, status: int) -> None:
        """Tell whoever asked by REFER how it ended, as a SIP status."""

    def dialog_state(self) -> str:
        """JSON from which `end_orphan` can write a BYE after a crash; "" before the dialog exists."""


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """A SIP message that came or went."""

    number: int
    """Rises with every message of the server."""
    at_ns: int
    """Monotonic."""
    call_id: str
    is_sent: bool
    transport: str
    host: str
    """Of the other end: IP literal without brackets."""
    port: int
    text: str
    """With its body; secrets are masked."""


class Signalling(Protocol):
    """The SIP user agent core."""

    def on_incoming(self, handler: Callable[[SipLeg], None]) -> None:
        """`handler` gets every new, authorised, negotiable INVITE exactly once."""

    async def route(self, target: str, trunk: str = "") -> Route:
        """Raises `Unroutable` when nothing serves the target."""

    def place(self, call: OutgoingCall, sink: SignalSink) -> SipLeg: ...

    def end_orphan(self, dialog_state: str, reason: str) -> None:
        """Send the BYE of a dialog that a dead process left behind."""


# --------------------------------------------------------------------------- HTTP and speech

Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FetchOrder:
    """One request for a document.  `url` may carry a fragment with connection overrides."""

    url: str
    method: Literal["GET", "POST"]
    parameters: Parameters
    secret: str
    """Signs the request (X-Twilio-Signature): the account's token or the module's secret."""
    headers: Parameters = ()


@dataclass(frozen=True, slots=True)
class FetchedDocument:
    url: str
    """After redirects: the base of the document's relative URLs."""
    status: int
    content_type: str
    body: bytes
    duration_ms: int


class CookieJar(Protocol):
    """Opaque here: the cookies of one call (reference: twiml.md §3.2)."""


class Fetcher(Protocol):
    def jar(self) -> CookieJar: ...

    async def document(self, order: FetchOrder, jar: CookieJar) -> FetchedDocument:
        """Raises `FetchFailed` with the code of twiml.md §5 for anything that is not a usable
        2xx answer within the limits; the fallback URL is the caller's business."""

    async def media(self, url: str) -> AudioFile:
        """GET with caching, no call parameters.  Raises `FetchFailed`."""

    async def callback(self, order: FetchOrder) -> int:
        """Send a status callback once; the answer's status.  Raises `FetchFailed`."""


class Speech(Protocol):
    async def synthesize(self, text: str, *, voice: str, language: str) -> AudioFile:
        """Cached on disk by text, voice and language.  Raises `SpeechFailed`."""


# --------------------------------------------------------------------------- what a verb sees


class CallStatus(enum.Enum):
    """CallStatus of twiml.md §2.1."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return self not in _UNFINISHED


_UNFINISHED = frozenset({CallStatus.QUEUED, CallStatus.INITIATED, CallStatus.RINGING, CallStatus.IN_PROGRESS})


class Side(enum.Enum):
    """Who hung up."""

    CALLER = "caller"
    """The far end of this call's own leg."""
    US = "us"
    """The server: API, policy, limits."""


@dataclass(frozen=True, slots=True)
class Hangup:
    side: Side
    detail: str = ""
    status: CallStatus = CallStatus.COMPLETED


@dataclass(frozen=True, slots=True)
class Replace:
    """New instructions by REST: exactly one of `target` and `twiml` is set."""

    target: str = ""
    method: Literal["GET", "POST"] = "POST"
    twiml: str = ""
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Control passes to `target` by API, event mapping or SIP message (DESIGN.md §4 rule 5)."""

    target: str
    cause: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    detail: str = ""


Interrupt = Hangup | Replace | Transfer | Shutdown


@dataclass(frozen=True, slots=True)
class Next:
    """Go on with the verb that follows."""


@dataclass(frozen=True, slots=True)
class GoTo:
    """Pass control to `target` (any target URI, or a URL relative to the document; "" is the
    current document).  `parameters` are sent on top of the standard ones."""

    target: str
    method: Literal["GET", "POST"] = "POST"
    parameters: Parameters = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """End the call."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Reject an unanswered call; an answered one is hung up."""

    status: Literal[486, 603]


@dataclass(frozen=True, slots=True)
class Connect:
    """Demote: suspend this document, join `child`, and ask `after` what to do at the end."""

    child: ChildCall
    after: Callable[[Bridged], Outcome]
    time_limit_seconds: int
    hangup_on_star: bool
    record: BridgeRecording | None = None


Outcome = Next | GoTo | Finish | Refuse | Connect


@dataclass(frozen=True, slots=True)
class BridgeRecording:
    dual: bool
    trim_silence: bool
    callback: str
    callback_method: Literal["GET", "POST"]
    callback_events: frozenset[str]


@dataclass(frozen=True, slots=True)
class Bridged:
    """How a bridge ended."""

    seconds: int
    ended_by: Literal["caller", "callee", "star", "time-limit", "redirected", "us"]
    recording: Recorded | None = None


@dataclass(frozen=True, slots=True)
class Played:
    reason: PlayEnd
    digit: str


@dataclass(frozen=True, slots=True)
class RecordOrder:
    """What Record asks for; silence is counted by the engine, on received audio only."""

    max_seconds: int
    silence_seconds: int
    stop_digits: str
    trim_silence: bool
    play_beep: bool
    source: str = "RecordVerb"
    callback: str = ""
    callback_method: Literal["GET", "POST"] = "POST"
    callback_events: frozenset[str] = frozenset({"completed"})


@dataclass(frozen=True, slots=True)
class Recorded:
    sid: str
    url: str
    """Absolute, without extension."""
    seconds: int
    reason: RecordingEnd
    digit: str


@dataclass(frozen=True, slots=True)
class DialTarget:
    """One destination of a Dial."""

    uri: str
    """`tel:+…`, `sip:…` or `client:…`."""
    caller_id: str = ""
    timeout_seconds: int = 30
    headers: tuple[tuple[str, str], ...] = ()
    username: str = ""
    password: str = ""
    send_digits: str = ""
    status_callback: str = ""
    status_callback_method: Literal["GET", "POST"] = "POST"
    status_callback_events: frozenset[str] = frozenset({"completed"})


@dataclass(frozen=True, slots=True)
class DialResult:
    """How an attempt to reach a target ended; `status` is COMPLETED once it was answered."""

    status: CallStatus
    sip_status: int
    sip_call_id: str
    headers: Mapping[str, str] = field(default_factory=dict)


class ChildCall(Protocol):
    """A call that this one dialled.  It belongs to the scope of the verb that placed it: unless a
    `Connect` takes it over, it is cancelled or hung up when the verb ends, however it ends."""

    @property
    def sid(self) -> str: ...

    @property
    def result(self) -> DialResult: ...

    async def answered(self) -> bool:
        """Wait for the final answer; True when it was picked up, `result` tells the rest."""

    async def early_audio(self) -> None:
        """Return when the far end is heard before it answers (early media), or the attempt is over."""

    async def screen(self, url: str, method: Literal["GET", "POST"]) -> bool:
        """Run a whisper document on the callee; True if the callee is still there to be joined."""

    async def end(self) -> None:
        """CANCEL or BYE; returns when the leg is closed."""


class Digits(Protocol):
    """Keys pressed since `LiveCall.listen()` was entered."""

    async def next(self) -> str:
        """The next key; wait for it."""


class LiveCall(Protocol):
    """All of a call that a verb may touch.

    Everything raises `CallGone` once the leg has ended, and may be cancelled at any await: the
    controller cancels a running verb to interrupt it, and what the verb created is released by
    its scope."""

    @property
    def sid(self) -> str: ...
    @property
    def account_sid(self) -> str: ...
    @property
    def from_(self) -> str: ...
    @property
    def to(self) -> str: ...
    @property
    def is_answered(self) -> bool: ...
    @property
    def is_sip_origin(self) -> bool:
        """The caller came in by a SIP URI, not with a telephone number."""

    @property
    def is_screening(self) -> bool:
        """This document runs on a callee before it is bridged: Dial is not allowed (13201)."""

    def resolve(self, url: str) -> str:
        """`url` as an absolute URL or target; relative ones against the document.  Raises
        `DocumentError` 11100 when there is no base."""

    async def answer(self) -> None:
        """Pick up; at once when that has happened already."""

    async def ring(self) -> None:
        """Let the caller hear that it rings, without answering (180)."""

    async def sleep(self, seconds: float) -> None: ...

    async def speech(self, text: str, *, voice: str, language: str) -> PlayItem: ...

    async def audio(self, url: str) -> PlayItem:
        """Fetch, decode, share.  Raises `FetchFailed` or `AudioUnplayable`."""

    async def play(self, items: Sequence[PlayItem], *, loops: int = 1, stop_digits: str = "") -> Played:
        """Answer if need be, play, and return when it ended.  Cancelling it stops the audio."""

    def listen(self) -> AbstractContextManager[Digits]:
        """Collect keys from now on; earlier ones are dropped (twiml.md §1.2, 8)."""

    async def record(self, order: RecordOrder) -> Recorded:
        """Answer if need be and record what the caller says until something ends it."""

    @property
    def last_recording(self) -> Recorded | None:
        """What `record` made during this verb, complete or (once the scope is released) cut short by
        cancellation; None when there is nothing.  This is how `interrupted` learns of it."""

    async def place(self, target: DialTarget) -> ChildCall:
        """Start a child call.  It fails by its `result`, never by raising."""

    @property
    def placed(self) -> Sequence[ChildCall]:
        """The children this verb placed, in order, over or not; still readable in `interrupted`."""

    async def hear(self, child: ChildCall) -> None:
        """Let the caller hear what `child` sends before it answers, until cancelled or over."""

    def parameters_of(self, child: ChildCall) -> Parameters:
        """DialCallSid and the SIP extras of twiml.md §1.4 for a child that is over."""

    def warn(self, code: int, message: str, line: int = 0) -> None:
        """Log a warning or error of twiml.md §5 for the developer; the call goes on."""


class Verb(Protocol):
    """One verb of a document, ready to run."""

    @property
    def line(self) -> int: ...

    async def run(self, call: LiveCall) -> Outcome: ...

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        """Called after `run` was cancelled and its scope released: what still has to be done.
        After a Hangup only a GoTo is carried out, as a request whose answer is not run."""


# --------------------------------------------------------------------------- what the API may do


@dataclass(frozen=True, slots=True)
class NewCall:
    """A validated order of the REST API; exactly one of `target` and `twiml` is set."""

    account_sid: str
    to: str
    from_: str
    target: str = ""
    twiml: str = ""
    method: Literal["GET", "POST"] = "POST"
    fallback: str = ""
    fallback_method: Literal["GET", "POST"] = "POST"
    status_callback: str = ""
    status_callback_method: Literal["GET", "POST"] = "POST"
    status_callback_events: frozenset[str] = frozenset({"completed"})
    timeout_seconds: int = 60
    time_limit_seconds: int = 14400
    send_digits: str = ""
    record: bool = False
    caller_name: str = ""
    username: str = ""
    password: str = ""


class CallControl(Protocol):
    """What REST may do to calls.  Reading is done from the tables of `calls/records.py`."""

    async def create(self, order: NewCall) -> str:
        """Queue an outgoing call and return its sid; it is in the table when this returns."""

    async def interrupt(self, sid: str, cause: Interrupt) -> bool:
        """Deliver `cause`; False when no such call is live here."""

    async def cancel(self, sid: str) -> bool:
        """End the call only if it has not been answered; False when it has, or is not live."""

    def transfer_token(self, sid: str, target: str, seconds: int = 300) -> str | None:
        """A token with which a party of the call `sid` may move it to `target` by a SIP message, once,
        within `seconds`; None when no such call is live here."""

    def live(self, sid: str) -> Mapping[str, Any] | None:
        """Snapshot for `/v1/sessions` of a live call, None when it is not live here; what the table
        of calls has too is named as there."""
