"""Calls as the rest of the program sees them: `ports.SipLeg` over a session of the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from callrouter.ports import (
    AUDIO_ALONE,
    Clock,
    History,
    MediaAddress,
    NegotiatedAudio,
    Passing,
    SignalEvent,
    SignalSink,
)
from callrouter.ports.causes import NORMAL, cause_of
from callrouter.sip.arrivals import Arrival
from callrouter.sip.protocol.grammar import displayable, quote
from callrouter.sip.protocol.headers.reason import Q850
from callrouter.sip.protocol.headers.replaces import Replaces
from callrouter.sip.protocol.hop import family_of
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.session import Session, SessionState
from callrouter.sip.protocol.transfer import Transfers


class Leg:
    """What incoming and outgoing legs share."""

    def __init__(self, session: Session, clock: Clock, pump: Callable[[], None]) -> None:
        self._session = session
        self._clock = clock
        self._pump = pump
        self._sink: SignalSink | None = None
        self._waiting: list[SignalEvent] = []
        self._asked: dict[int, Transfers] = {}
        """Where a transfer under way was asked for: another far end may have come meanwhile."""
        session.owner = self

    def deliver(self, event: SignalEvent) -> None:
        """From the endpoint: an event of this leg's session."""
        if self._sink is None:
            self._waiting.append(event)
        else:
            self._sink(event)

    @property
    def call_id(self) -> str:
        return displayable(self._session.call_id)

    @property
    def identity(self) -> str:
        origin = self._session.origin
        return f"{origin.kind.value}:{origin.name}" if origin.name else ""

    @property
    def audio(self) -> NegotiatedAudio | None:
        return self._session.audio

    def attach(self, sink: SignalSink) -> None:
        """Deliver events to `sink`, those that already happened first."""
        self._sink = sink
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            sink(event)

    def hangup(self, reason: str = "", q850: int = NORMAL) -> None:
        """BYE, CANCEL or a final refusal, whichever the state asks for."""
        self._session.hangup(reason_header(reason, q850), self._clock.monotonic_ns())
        self._pump()

    @property
    def takes_keys(self) -> bool:
        return self._session.takes_keys

    def press(self, keys: str) -> None:
        self._session.press(keys, self._clock.monotonic_ns())
        self._pump()

    def hold(self, on: bool) -> None:
        """re-INVITE with `sendonly` or back to `sendrecv`."""
        self._session.hold(on, self._clock.monotonic_ns())
        self._pump()

    @property
    def is_held(self) -> bool:
        return self._session.stream.is_held

    # -- lines that are passed on unread

    @property
    def passes(self) -> frozenset[str]:
        return self._session.stream.passes

    @property
    def passed_to_us(self) -> Passing:
        return self._session.stream.passed_to_us

    @property
    def is_passing(self) -> bool:
        written = self._session.stream.passage.written
        return bool(written.lines) or not written.has_audio

    @property
    def audio_slot(self) -> int:
        agreed = self._session.stream.agreed
        return 0 if agreed is None else agreed.slot

    @property
    def slots(self) -> int:
        agreed = self._session.stream.agreed
        return 1 if agreed is None else len(agreed.lines)

    def open_passage(self, is_open: bool) -> None:
        self._session.open_passage(is_open, self._clock.monotonic_ns())
        self._pump()

    def offer_lines(self, passing: Passing, *, is_relayed: bool = False) -> None:
        now_ns = self._clock.monotonic_ns()
        self._session.offer_lines(passing, is_relayed=is_relayed, now_ns=now_ns)
        self._pump()

    def recall_lines(self) -> None:
        self._session.modification.recall(self._clock.monotonic_ns())
        self._pump()

    def answer_lines(self, status: int, passing: Passing = AUDIO_ALONE) -> None:
        self._session.modification.settle(status, passing, self._clock.monotonic_ns())
        self._pump()

    def withdraw_lines(self) -> None:
        self._session.withdraw_lines(self._clock.monotonic_ns())
        self._pump()

    def continue_with(self, session: IncomingSession) -> None:
        """Somebody else has taken the far end's place."""
        self._session = session
        session.owner = self

    def refer(self, target: str, replaces: str = "") -> None:
        """Ask the far end to call `target`, in place of the dialog that `replaces` names."""
        self._session.transfers.refer(target, replaces, self._clock.monotonic_ns())
        self._pump()

    def replaces_value(self) -> str:
        """What names this dialog to whoever is to take its far end's place; "" before there is one."""
        dialog = self._session.dialog
        if dialog is None:
            return ""
        return Replaces(dialog.call_id, dialog.remote_tag, dialog.local_tag).escaped

    def is_dialog(self, replaces: str) -> bool:
        """The value of a Replaces header names this dialog."""
        dialog = self._session.dialog
        try:
            named = Replaces.parse(replaces)
        except ValueError:
            return False
        return dialog is not None and named.names(dialog.call_id, dialog.local_tag, dialog.remote_tag)

    def settle_transfer(self, request: int, status: int) -> None:
        """Answer what the far end asked: 202 (200 to an INFO), or a refusal."""
        if status < 300:
            self._asked[request] = self._session.transfers
        self._session.transfers.settle(request, status, self._clock.monotonic_ns())
        self._pump()

    def tell_transfer(self, request: int, status: int) -> None:
        """Tell whoever asked by REFER how far it has got, and how it ended."""
        asked = self._asked.pop(request, None) if status >= 200 else self._asked.get(request)
        if asked is not None:
            asked.tell(request, status, self._clock.monotonic_ns())
            self._pump()

    def dialog_state(self) -> str:
        """JSON from which `end_orphan` writes a BYE; "" before there is a dialog."""
        session = self._session
        if session.dialog is None or session.state in (SessionState.EARLY, SessionState.ENDED):
            return ""
        return session.dialog.to_json()


class IncomingLeg(Leg):
    def __init__(
        self, session: IncomingSession, arrival: Arrival, clock: Clock, pump: Callable[[], None]
    ) -> None:
        super().__init__(session, clock, pump)
        self._incoming = session
        self._arrival = arrival

    def dialog_state(self) -> str:
        """Also while the call is unanswered: the INVITE has all that its dialog will be made of."""
        dialog = self._session.dialog
        if dialog is None or self._session.state is SessionState.ENDED:
            return ""
        return dialog.to_json()

    @property
    def received_ns(self) -> int:
        return self._incoming.received_ns

    @property
    def request_uri(self) -> str:
        return self._arrival.request_uri

    @property
    def from_uri(self) -> str:
        return self._arrival.caller.uri

    @property
    def from_name(self) -> str:
        return self._arrival.caller.name

    @property
    def registered_as(self) -> tuple[str, ...]:
        return self._arrival.registered_as

    @property
    def history(self) -> History:
        return self._arrival.history

    @property
    def source(self) -> MediaAddress:
        hop = self._incoming.established.hop
        return MediaAddress(hop.host, hop.port)

    @property
    def transport(self) -> str:
        return self._incoming.established.hop.transport

    @property
    def family(self) -> Literal[4, 6]:
        """Of the address the offer names, which is where media will go; without an offer, that of
        the signalling."""
        audio = self._incoming.audio
        # A browser names whatever address it likes, and comes to ours; it has reached this one.
        host = audio.remote.host if audio is not None and audio.browser is None else ""
        return family_named(host if family_of(host) else self._incoming.established.hop.host)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the INVITE, canonical names, first value."""
        return self._arrival.headers

    def ring(self) -> None:
        """180."""
        self._incoming.ring(self._clock.monotonic_ns())
        self._pump()

    def progress(self, local: MediaAddress, codec: str = "") -> None:
        """183 with an answer: early media."""
        self._incoming.progress(local, self._clock.monotonic_ns(), codec)
        self._pump()

    def answer(self, local: MediaAddress, passing: Passing = AUDIO_ALONE, codec: str = "") -> None:
        """200, retransmitted until the ACK."""
        self._incoming.answer(local, self._clock.monotonic_ns(), passing, codec)
        self._pump()

    def reject(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        fields = tuple((name, displayable(value)) for name, value in headers)
        if not any(name.lower() == "reason" for name, _ in headers):
            fields += (("Reason", reason_header("", cause_of(status))),)  # RFC 6432
        self._incoming.reject(status, reason, fields, self._clock.monotonic_ns())
        self._pump()


def family_named(host: str) -> Literal[4, 6]:
    return 6 if ":" in host else 4


def reason_header(text: str, q850: int = NORMAL) -> str:
    """A `Reason` value (RFC 3326): given as one, or as words for people."""
    if ";cause=" in text:
        return displayable(text)
    words = displayable(text) or Q850.get(q850, "")
    return f"Q.850;cause={q850};text={quote(words)}" if words else f"Q.850;cause={q850}"
