"""SIP as call control sees it: legs, what happens to them, and the trace of a call."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from callrouter.ports.audio import MediaAddress, NegotiatedAudio
from callrouter.ports.causes import NORMAL
from callrouter.ports.history import MOST_HOPS, History
from callrouter.ports.passing import (
    AUDIO_ALONE,
    LinesAnswered,
    LinesOffered,
    LinesReset,
    LinesRetracted,
    PassedLine,
    Passing,
)


@dataclass(frozen=True, slots=True)
class Ringing:
    at_ns: int
    status: int
    early: NegotiatedAudio | None


@dataclass(frozen=True, slots=True)
class EarlyEnded:
    """Whoever was heard before the answer is not any more, and the call goes on elsewhere."""

    at_ns: int


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
class Redirect:
    """Somebody else who is to be called instead."""

    target: str
    trunk: str = ""
    """By which carrier; "" = by what `target` is."""
    mentioned_by: str = ""
    """As in `OutgoingCall`."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An outgoing call got a final answer that is not 2xx (408 and 503 are also made up here
    for time-outs and transport failures; 487 after our own CANCEL)."""

    at_ns: int
    status: int
    reason: str
    headers: Mapping[str, str]
    q850: int = 0
    """As in `Ended`."""
    contacts: tuple[str, ...] = ()
    """Addresses that a 3xx names, the best first."""
    redirects: tuple[Redirect, ...] = ()
    """Those of them that may be called, in the words of this server."""
    redirected_by: tuple[str, ...] = ()
    """Addresses of the user of ours who names them, as in `SipLeg.registered_as`."""


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
class KeysRefused:
    """The far end takes none of these by signalling, and will take no others (`SipLeg.press`)."""

    at_ns: int
    keys: str


@dataclass(frozen=True, slots=True)
class Held:
    """The far end wants to hear nothing from now on, or to hear again; SIP has answered it already."""

    at_ns: int
    on: bool


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """The far end asks, by REFER or INFO, that control of a call pass to `target`; or, without a token,
    that whom it talks to be connected with `target` (RFC 5589).  Nothing has been answered yet:
    `SipLeg.settle_transfer` does that."""

    at_ns: int
    request: int
    """Names it to `settle_transfer` and `tell_transfer`."""
    target: str
    """As it was asked for with a token; without one a `tel:`, `client:` or SIP URI, "" where the
    server has nobody of that name."""
    token: str
    """Not verified: whoever owns the call knows which tokens were given out."""
    may: bool = False
    """Whoever asks may do so without a token, as far as SIP knows: by the settings of its user or trunk."""
    asker: tuple[str, ...] = ()
    """Addresses of the user of ours who asks, as in `SipLeg.registered_as`."""
    replaces: str = ""
    """Value of the Replaces header that Refer-To has: the dialog whose place is to be taken."""
    early_only: bool = False
    """Its place is to be taken only as long as nobody has answered there."""
    referred_by: str = ""
    """Value of a Referred-By header."""
    mentioned_by: str = ""
    """IP literal the request came from, where `target` is an address anywhere."""


@dataclass(frozen=True, slots=True)
class ReferProgress:
    """How far the far end got with what `SipLeg.refer` asked of it."""

    at_ns: int
    status: int
    is_final: bool
    by_notify: bool = False
    """What a NOTIFY said; else the answer to the REFER itself."""


SignalEvent = (
    Ringing
    | EarlyEnded
    | Answered
    | Confirmed
    | MediaChanged
    | Failed
    | Ended
    | InfoDigit
    | KeysRefused
    | Held
    | TransferRequested
    | ReferProgress
    | LinesOffered
    | LinesRetracted
    | LinesAnswered
    | LinesReset
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
    responsible: str = ""
    """Number that answers for the call: what a carrier is told where the caller is anonymous."""
    diverted_from: str = ""
    """Number the call was for before it was passed on."""
    lines: tuple[PassedLine, ...] = ()
    """Offered beside the audio; those of a kind that is not passed there are left out."""
    hops: int = MOST_HOPS
    """Servers that it may pass."""
    marks: tuple[str, ...] = ()
    """By which it is known if it comes back."""
    codec: str = ""
    """What whoever is to be connected with the callee speaks: offered first where it is ours too, so
    that nothing need be transcoded."""
    mentioned_by: str = ""
    """IP literal that a message came from which merely mentioned `target`: nothing is sent to addresses
    that those at this one may not name.  "" = the target was chosen here."""


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
    def registered_as(self) -> tuple[str, ...]:
        """Addresses of the user of ours who proved to be the caller, the best first: number, `client:`
        name.  Empty for everybody else, and on outgoing legs."""

    @property
    def identity(self) -> str:
        """Who of the settings is at the far end: `user:alice`, `trunk:main`; "" = none of them."""

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
    def history(self) -> History:
        """Where the call has been before it came to us."""

    @property
    def audio(self) -> NegotiatedAudio | None:
        """What the INVITE's offer leads to; None when it had no offer (the offer goes in our 200)."""

    def attach(self, sink: SignalSink) -> None:
        """Deliver events to `sink`, those that already happened first."""

    def ring(self) -> None:
        """180."""

    def progress(self, local: MediaAddress, codec: str = "") -> None:
        """183 with an answer: early media.  `codec` as in `answer`."""

    def answer(self, local: MediaAddress, passing: Passing = AUDIO_ALONE, codec: str = "") -> None:
        """200, retransmitted until the ACK.  Lines that are not passed are declined.  `codec`: what
        whoever is connected speaks, agreed on where the far end has it and nothing has been yet."""

    def reject(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None: ...

    def hangup(self, reason: str = "", q850: int = NORMAL) -> None:
        """BYE, CANCEL or a final refusal, whichever the state asks for, with words for people and a cause
        of Q.850 in its Reason."""

    @property
    def takes_keys(self) -> bool:
        """The far end has said that it takes keys by signalling (INFO), and refused none."""

    def press(self, keys: str) -> None:
        """Send keys by signalling; `KeysRefused` tells of those that the far end does not take."""

    def hold(self, on: bool) -> None:
        """re-INVITE with `sendonly` or back to `sendrecv`."""

    @property
    def is_held(self) -> bool:
        """The far end wants to hear nothing; `Held` tells when that changes."""

    @property
    def passes(self) -> frozenset[str]:
        """Kinds of lines that may be passed on from and to this call."""

    @property
    def passed_to_us(self) -> Passing:
        """Of what the far end described last the lines that may be passed, declined or not."""

    @property
    def is_passing(self) -> bool:
        """Something beside the audio is on, or instead of it."""

    @property
    def audio_slot(self) -> int:
        """Which line of the descriptions is the audio's."""

    @property
    def slots(self) -> int:
        """How many lines the descriptions have."""

    def open_passage(self, is_open: bool) -> None:
        """Whether lines that are offered from now on are told (`LinesOffered`), or declined."""

    def offer_lines(self, passing: Passing, *, is_relayed: bool = False) -> None:
        """re-INVITE with these lines; `LinesAnswered` tells what came of it.  `is_relayed`: somebody
        waits for that, so glare is told rather than tried again."""

    def recall_lines(self) -> None:
        """What `offer_lines` asked for is wanted no more: CANCEL it.  `LinesAnswered` comes all the same,
        with 200 where the far end had taken it already."""

    def answer_lines(self, status: int, passing: Passing = AUDIO_ALONE) -> None:
        """Answer a `LinesOffered`."""

    def withdraw_lines(self) -> None:
        """Back to audio alone, if there is anything else."""

    def refer(self, target: str, replaces: str = "") -> None:
        """Ask the far end to call `target` (a URI), in place of the dialog that `replaces` names
        (the escaped value of a Replaces header, as `replaces_value` gives it); `ReferProgress` tells
        what came of it, always ending with one that is final unless the call ends.  One at a time: another
        one meanwhile is told 491, and one of a call that is not up 481."""

    def replaces_value(self) -> str:
        """What names this call's dialog to somebody who is to take its far end's place; "" before
        there is one."""

    def is_dialog(self, replaces: str) -> bool:
        """The value of a Replaces header names this call's dialog."""

    def settle_transfer(self, request: int, status: int) -> None:
        """Answer a `TransferRequested`: 202 (which is 200 to an INFO), or a refusal."""

    def tell_transfer(self, request: int, status: int) -> None:
        """Tell whoever asked by REFER how far it has got, as a SIP status of whom is called; a final one is
        the end.  Also after the call has ended: who hangs up may still want to know."""

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

    def is_ours(self, target: str) -> bool:
        """An address (`sip:`, `sips:`, `client:`) that calls come to here, and of no telephone that may
        register."""

    def place(self, call: OutgoingCall, sink: SignalSink) -> SipLeg: ...

    def end_orphan(self, dialog_state: str, reason: str) -> None:
        """Send the BYE of a dialog that a dead process left behind."""
