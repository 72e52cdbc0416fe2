"""What is heard of the far end of a call, outside of the call's task: its SIP, and what its media shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from callrouter.calls import referral
from callrouter.calls.leg import Leg
from callrouter.ports import (
    Answered,
    CallStatus,
    Confirmed,
    EarlyEnded,
    EndCause,
    Ended,
    Failed,
    Hangup,
    Held,
    InfoDigit,
    KeysRefused,
    LinesAnswered,
    LinesOffered,
    LinesReset,
    LinesRetracted,
    MediaChanged,
    ReferProgress,
    Ringing,
    Side,
    SignalEvent,
    Transfer,
    TransferRequested,
    causes,
)

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller

logger = structlog.get_logger(__name__)

_UNSECURED = {
    "wrong-certificate": "its certificate is not the announced one",
    "no-certificate": "it has no certificate of elliptic curves",
    "refused": "it refused the DTLS handshake",
    "unanswered": "it did not answer the DTLS handshake",
    "handshake": "the DTLS handshake failed",
    "consent": "for 30 s it has not asked to be sent any",
}


class Signals:
    """Makes of each event what it means for the call: an interrupt, a status, other audio."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    @property
    def _log(self) -> structlog.stdlib.BoundLogger:
        """Made where there is something to say, which is rare."""
        call = self._controller.call
        bound: structlog.stdlib.BoundLogger = logger.bind(
            call=call.sid, session=call.facts.session_sid, account=call.facts.account_sid
        )
        return bound

    # ------------------------------------------------------------------ media

    def hear(self, leg: Leg) -> None:
        """Be told by `leg` when its media cannot go on."""
        leg.on_lost = self.on_audio_lost
        leg.on_unsecured = self.on_unsecured
        leg.on_mute = self.on_mute

    def on_audio_lost(self, silent_ms: int) -> None:
        """Nothing was received for too long: nobody is there any more."""
        detail = f"no audio received for {silent_ms // 1000} s"
        self._controller.interrupt(Hangup(Side.CALLER, detail, q850=causes.TIMER_EXPIRED))

    def on_mute(self) -> None:
        """The far end has other media in place of its audio, and does not go back to that."""
        self._controller.interrupt(Hangup(Side.US, "the far end does not go back from fax to audio"))

    def on_unsecured(self, reason: str) -> None:
        """The browser at the other end is not who its description said, cannot be talked to, or is gone."""
        if reason == "closed":
            # As it does when it hangs up: its BYE may be on its way, or never come.
            self._controller.interrupt(
                Hangup(Side.CALLER, "the browser closed its audio", q850=causes.NORMAL)
            )
            return
        self._log.warning("media_not_secured", reason=reason)
        detail = f"no audio with the browser: {_UNSECURED[reason]}"
        self._controller.interrupt(Hangup(Side.US, detail, q850=causes.TEMPORARY_FAILURE))

    # ------------------------------------------------------------------ SIP

    def on_signal(self, event: SignalEvent) -> None:
        """Sink of the leg's SIP events.  They come outside of the call's task: a fault ends the call
        here, or nobody would be left to end it."""
        try:
            self._take_signal(event)
        except Exception:  # noqa: BLE001 - the boundary of signalling; one event costs its own call only
            self._log.exception("signal_crashed", event_type=type(event).__name__)
            self._controller.interrupt(Hangup(Side.US, "internal error", CallStatus.FAILED))

    def _take_signal(self, event: SignalEvent) -> None:
        leg = self._controller.call.leg
        if isinstance(event, Ended):
            # A caller may be gone again before the leg is open.
            self._on_ended(event)
            return
        if leg is None:
            return
        match event:
            case Ringing() | EarlyEnded():
                self._on_ringing(event)
            case Answered() | Failed():
                self._on_outcome(event)
            case Confirmed() | MediaChanged():
                if event.audio is not None:
                    leg.connect(event.audio, is_early=not self._controller.call.is_answered)
            case InfoDigit() | KeysRefused() | Held() | ReferProgress():
                leg.told(event)
            case LinesOffered() | LinesRetracted() | LinesAnswered() | LinesReset():
                leg.told_lines(event)
            case TransferRequested():
                self._on_transfer(event)

    def _on_outcome(self, event: Answered | Failed) -> None:
        if isinstance(event, Answered) and not self._controller.over.is_set():
            # Noted at once: a far end that hangs up in the same tick did answer.
            call = self._controller.call
            call.answered_ns, call.answered_ms = event.at_ns, self._controller.wall_ms(event.at_ns)
        if not self._controller.answer.done():
            self._controller.answer.set_result(event)

    def _on_ringing(self, event: Ringing | EarlyEnded) -> None:
        call = self._controller.call
        if isinstance(event, EarlyEnded):
            self._controller.early.end()
            return
        if call.status is CallStatus.INITIATED:
            self._controller.enter(CallStatus.RINGING)
        if event.early is not None and call.leg is not None:
            call.leg.connect(event.early, is_early=True)
            self._controller.early.begin()
        if self._controller.on_ringing is not None:
            self._controller.on_ringing(event.status)

    def _on_transfer(self, event: TransferRequested) -> None:
        """A party wants control of a call of this session to pass on; its token says whether it may."""
        call, services = self._controller.call, self._controller.services
        if call.leg is None or call.leg.sip is None:
            return
        sip = call.leg.sip
        if not event.token:
            receipt = referral.receive(self._controller, sip, event)
            services.exchange.start(receipt, "transfer by a telephone")
            return
        members = {c.call.sid: c for c in services.exchange.session(call.facts.session_sid)}
        now_ms = services.clock.monotonic_ns() // 1_000_000
        sid = services.transfers.redeem(event.token, event.target, members, now_ms)
        moved = members.get(sid)
        if moved is None or moved.over.is_set():
            self._log.warning("transfer_refused", target=event.target, why="not a token for this call")
            sip.settle_transfer(event.request, 403)
            return
        sip.settle_transfer(event.request, 202)
        moved.transfer_asked = (sip, event.request)
        moved.interrupt(Transfer(event.target, "sip"))

    def _on_ended(self, event: Ended) -> None:
        cause = Hangup(Side.CALLER, event.detail or event.cause.value)
        if event.cause in (EndCause.NO_ACK, EndCause.TRANSPORT, EndCause.TIMEOUT):
            cause = Hangup(Side.CALLER, event.detail or event.cause.value, CallStatus.FAILED)
        if event.cause is EndCause.CANCEL:
            self._controller.call.sip_status = 487
        self._controller.call.q850 = event.q850
        self._controller.left(event.at_ns, cause)
