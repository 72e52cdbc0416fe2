"""Calls from one number hosted here to another: two legs face to face, without SIP in between.

What one end does the other is told, as SIP would: the dialled call sees ringing, early media, an answer
or a refusal; the call that arrives sees its caller cancel or hang up.  Their audio goes from socket to
socket on this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from callrouter.calls.call import Call
from callrouter.calls.hosted_lines import InnerLines
from callrouter.calls.party import user_of
from callrouter.identity.addresses import Address
from callrouter.ports import (
    AUDIO_ALONE,
    Answered,
    Clock,
    Confirmed,
    EndCause,
    Ended,
    Failed,
    Held,
    History,
    MediaAddress,
    MediaChanged,
    NegotiatedAudio,
    PassedLine,
    Passing,
    ReferProgress,
    Ringing,
    SignalEvent,
    SignalSink,
)
from callrouter.ports.causes import NORMAL
from dispatcher.numbers import normalised

if TYPE_CHECKING:
    from callrouter.calls.services import Services

_TRANSPORT = "internal"
_PAYLOAD_TYPES = {"PCMU": 0, "PCMA": 8, "G722": 9}
_OTHER, _EVENTS = 107, 101
_ADDRESSES = ("sip:", "sips:", "client:")
"""How what is no number begins."""
_NOT_THERE = MediaAddress("", 0)


async def hosted(services: Services, call: Call, uri: str) -> Address | None:
    """Where calls to `uri` start, if it is a number or an address of this server.  Raises `Looped`."""
    number = services.dispatcher.number
    if uri.lower().startswith(_ADDRESSES):
        is_ours = services.signalling.is_ours(uri)
        mapping = (await number(user_of(uri)) or await number(uri)) if is_ours else None
    else:
        bare = uri.partition(";")[0]
        mapping = await number(bare) if normalised(bare).removeprefix("+").isdecimal() else None
    if mapping is not None:
        services.loops.check_hosted(mapping.address, call)
    return mapping


@dataclass(frozen=True, slots=True)
class Invite:
    """What the arriving call is told."""

    origin: Call
    """The call that dials."""
    number: str
    caller: str
    caller_name: str
    audio_at: MediaAddress
    """Where the dialling call takes its audio."""
    headers: Mapping[str, str] = field(default_factory=dict)
    audio: NegotiatedAudio | None = None
    """What the far end of the dialling call speaks, if there is one yet: spoken here too, so that what
    it says is passed on as it is."""
    lines: tuple[PassedLine, ...] = ()
    """Video and fax that are offered beside the audio."""


class InnerLeg:
    """One end of such a call: a `SipLeg`.  Made in pairs by `facing`."""

    transport = _TRANSPORT
    source = _NOT_THERE
    """Nowhere: no address called."""
    registered_as: tuple[str, ...] = ()
    identity = ""
    passes = frozenset({"video", "image"})
    """Whatever the ends beyond do."""
    audio_slot = 0
    takes_keys = False

    def __init__(self, invite: Invite, call_id: str, clock: Clock) -> None:
        self.invite = invite
        self.call_id = call_id
        self.received_ns = clock.monotonic_ns()
        is_uri = invite.number.startswith(_ADDRESSES)
        self.request_uri = invite.number if is_uri else f"tel:{invite.number}"
        by = (invite.origin.diverted_from,) if invite.origin.diverted_from else ()
        self.history = History(invite.origin.hops_left - 1, invite.origin.marks, by)
        self.from_uri = f"tel:{invite.caller}" if _is_number(invite.caller) else invite.caller
        self.from_name = invite.caller_name
        self.family: Literal[4, 6] = 6 if ":" in invite.audio_at.host else 4
        self.headers: Mapping[str, str] = {}
        self.audio: NegotiatedAudio | None = None
        self.is_held = False
        self._clock = clock
        self._peer: InnerLeg = self
        self._sink: SignalSink | None = None
        self._waiting: list[SignalEvent] = []
        self._lines = InnerLines(invite.audio_at.host, self._tell, clock.monotonic_ns)
        self._is_caller = False
        self._is_heard = False
        """There is early media."""
        self._answered = False
        self._over = False

    @classmethod
    def facing(cls, invite: Invite, call_id: str, clock: Clock) -> tuple[InnerLeg, InnerLeg]:
        """The end of whoever dials, and that of whoever is called."""
        caller, callee = cls(invite, call_id, clock), cls(invite, call_id, clock)
        caller._peer, callee._peer, caller._is_caller = callee, caller, True
        caller._lines.peer, callee._lines.peer = callee._lines, caller._lines
        caller._lines.invite(invite.lines)
        callee.audio, callee.headers = _audio(invite.audio_at, invite.audio), invite.headers
        return caller, callee

    def attach(self, sink: SignalSink) -> None:
        self._sink = sink
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            sink(event)

    # ------------------------------------------------------------------ what the callee does

    def ring(self) -> None:
        if self._may_answer():
            self._peer._tell(Ringing(self._clock.monotonic_ns(), 180, None))

    def progress(self, local: MediaAddress, codec: str = "") -> None:
        if self._may_answer():
            if codec and self.audio is not None and not self._is_heard:
                self.audio = _in_codec(self.audio, codec)
            self._is_heard = True
            self._peer._tell(Ringing(self._clock.monotonic_ns(), 183, _audio(self._near(local), self.audio)))

    def answer(self, local: MediaAddress, passing: Passing = AUDIO_ALONE, codec: str = "") -> None:
        if not self._may_answer():
            return
        now_ns = self._clock.monotonic_ns()
        self._answered = self._peer._answered = True
        if codec and self.audio is not None and not self._is_heard:
            self.audio = _in_codec(self.audio, codec)
        self._peer.audio = _audio(self._near(local), self.audio)
        self._lines.accept(passing)
        self._peer._tell(Answered(now_ns, self._peer.audio, {}))
        self._tell(Confirmed(now_ns, None))

    def reject(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        if self._may_answer():
            self._end(Failed(self._clock.monotonic_ns(), status, reason, dict(headers)))

    def _may_answer(self) -> bool:
        return not (self._is_caller or self._over or self._answered)

    def _near(self, local: MediaAddress) -> MediaAddress:
        """`local` is what the world is told; both ends are of one machine and one family."""
        return MediaAddress(self.invite.audio_at.host, local.port)

    # ------------------------------------------------------------------ what either does

    def hangup(self, reason: str = "", q850: int = NORMAL) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._over:
            return
        if self._answered:
            self._end(Ended(now_ns, EndCause.BYE, reason, q850))
        elif self._is_caller:
            self._end(Ended(now_ns, EndCause.CANCEL, reason, q850))
            self._tell(Failed(now_ns, 487, "cancelled", {}))
        else:
            self._end(Failed(now_ns, 480, reason, {}, q850))

    def press(self, keys: str) -> None:
        """Keys go as events or tones here."""

    def hold(self, on: bool) -> None:
        """The other end's own far end is to be told."""
        if self._peer.is_held is not on and not self._over:
            self._peer.is_held = on
            self._peer._tell(Held(self._clock.monotonic_ns(), on))

    def speak(self, audio: NegotiatedAudio) -> None:
        """The caller's far end speaks so: both ends do from now on.  The callee's has no say."""
        if not self._is_caller or not self._answered or self._over:
            return
        now_ns = self._clock.monotonic_ns()
        for end in (self, self._peer):
            spoken = end.audio and _audio(end.audio.remote, audio)
            if spoken and spoken != end.audio:
                end.audio = spoken
                end._tell(MediaChanged(now_ns, spoken))

    @property
    def passed_to_us(self) -> Passing:
        return self._lines.told

    @property
    def is_passing(self) -> bool:
        return self._lines.is_passing

    @property
    def slots(self) -> int:
        return self._lines.slots

    def open_passage(self, is_open: bool) -> None:
        self._lines.open(is_open)

    def offer_lines(self, passing: Passing, *, is_relayed: bool = False) -> None:
        if self._answered and not self._over:
            self._lines.offer(passing, is_relayed=is_relayed)

    def recall_lines(self) -> None:
        self._lines.recall()

    def answer_lines(self, status: int, passing: Passing = AUDIO_ALONE) -> None:
        self._lines.answer(status, passing)

    def withdraw_lines(self) -> None:
        if self._answered and not self._over:
            self._lines.withdraw()

    def refer(self, target: str, replaces: str = "") -> None:
        """The other end is a call of this server, which is not asked but moved by its own controller."""
        self._tell(ReferProgress(self._clock.monotonic_ns(), 405, True))

    def replaces_value(self) -> str:
        return ""

    def is_dialog(self, replaces: str) -> bool:
        return False

    def settle_transfer(self, request: int, status: int) -> None:
        """Nobody asks here."""

    def tell_transfer(self, request: int, status: int) -> None:
        """Nobody asks here."""

    def dialog_state(self) -> str:
        """There is no dialog that could be left behind."""
        return ""

    def _end(self, event: SignalEvent) -> None:
        self._over = self._peer._over = True
        self._peer._tell(event)

    def _tell(self, event: SignalEvent) -> None:
        # Not from within whatever the other end is doing, as a message would not be either.
        asyncio.get_running_loop().call_soon(self._deliver, event)

    def _deliver(self, event: SignalEvent) -> None:
        if self._sink is None:
            self._waiting.append(event)
        else:
            self._sink(event)


def _audio(remote: MediaAddress, alike: NegotiatedAudio | None) -> NegotiatedAudio:
    """The codec of `alike`, with keys as events where it has that: tones are listened for elsewhere."""
    audio = _in_codec(NegotiatedAudio(remote, None, "PCMU", 0, _EVENTS), alike.codec if alike else "PCMU")
    return replace(audio, dtmf_payload_type=None) if alike and alike.dtmf_payload_type is None else audio


def _in_codec(audio: NegotiatedAudio, codec: str) -> NegotiatedAudio:
    return replace(audio, codec=codec, payload_type=_PAYLOAD_TYPES.get(codec, _OTHER))


def _is_number(caller: str) -> bool:
    return caller.removeprefix("+").isdecimal()
