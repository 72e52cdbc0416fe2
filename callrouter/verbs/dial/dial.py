"""<Dial>: call somebody and connect them (docs/verbs.md).

While it rings the caller hears ringback (or, with answerOnBridge, their own network's: they are not
answered yet), and of a single callee what it sends before it answers.  Once somebody accepts, the verb
hands the bridge to the controller with `Connect`; its end, whichever it is, leads to the action, or
without one to the next verb."""

from __future__ import annotations

from dataclasses import dataclass, replace

from callrouter.documents.attributes import Attributes, Method
from callrouter.documents.element import Element
from callrouter.documents.finding import Finding
from callrouter.errors import DocumentError
from callrouter.ports import (
    Bridged,
    BridgeRecording,
    CallStatus,
    ChildCall,
    Connect,
    GoTo,
    Hangup,
    Interrupt,
    LiveCall,
    Next,
    Outcome,
    Parameters,
    PlayTone,
)
from callrouter.verbs.beside import beside
from callrouter.verbs.callbacks import absolute
from callrouter.verbs.dial import attributes, hunt
from callrouter.verbs.dial.destination import Destination
from callrouter.verbs.dial.hunt import Attempt
from callrouter.verbs.dial.nouns import destinations

PLATFORM_SECONDS = 5
"""What the platform adds to `timeout`."""
INSIDE_SCREENING = 13201

_TELLING = (
    CallStatus.COMPLETED,
    CallStatus.NO_ANSWER,
    CallStatus.BUSY,
    CallStatus.CANCELED,
    CallStatus.FAILED,
)
"""Of several attempts the one that got furthest is reported."""


@dataclass(frozen=True, slots=True)
class Dial:
    line: int
    destinations: tuple[Destination, ...]
    action: str | None = None
    """None for none, "" for the current document."""
    method: Method = "POST"
    timeout_seconds: int = 30
    time_limit_seconds: int = 14_400
    caller_id: str = ""
    """"" for the caller's own."""
    hangup_on_star: bool = False
    answer_on_bridge: bool = False
    sequential: bool = False
    ring_tone: str = attributes.DEFAULT_RING_TONE
    record: BridgeRecording | None = None

    @classmethod
    def parse(cls, element: Element, findings: list[Finding]) -> Dial:
        read = Attributes(element, findings)
        dial = cls(
            line=element.line,
            destinations=destinations(element, findings),
            action=read.url("action"),
            method=read.method(code=13210),
            timeout_seconds=read.integer("timeout", 30, code=13212, least=5, most=600),
            time_limit_seconds=read.integer("timeLimit", 14_400, code=13216, least=1, most=86_400),
            caller_id=attributes.caller_id(read),
            hangup_on_star=read.boolean("hangupOnStar", False, code=13213),
            answer_on_bridge=read.boolean("answerOnBridge", False, code=13219),
            sequential=read.boolean("sequential", False, code=13218),
            ring_tone=read.choice(
                "ringTone", attributes.DEFAULT_RING_TONE, attributes.RING_TONES, code=13220
            ),
            record=attributes.recording(read),
        )
        read.unsupported(*attributes.UNSUPPORTED)
        read.finish(nested=None)
        return dial

    async def run(self, call: LiveCall) -> Outcome:
        if call.is_screening:
            message = "<Dial> cannot run on a called party before it is connected"
            raise DocumentError(message, code=INSIDE_SCREENING, line=self.line)
        self._warn_of_caller(call)
        child = await self._reach(call, self._attempts(call))
        if child is None:
            return self._missed(call)
        return Connect(
            child,
            after=lambda bridged: self._connected(call, child, bridged),
            time_limit_seconds=self.time_limit_seconds,
            hangup_on_star=self.hangup_on_star,
            record=self._recording(call),
        )

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        """The action is still requested when the caller hangs up while it rings."""
        if not isinstance(cause, Hangup) or self.action is None:
            return None
        return self._missed(call)

    async def _reach(self, call: LiveCall, attempts: tuple[Attempt, ...]) -> ChildCall | None:
        if not attempts:
            return None
        look = hunt.in_turn if self.sequential else hunt.all_at_once
        if self.answer_on_bridge and not call.is_answered:
            await call.ring()
        else:
            await call.answer()
        tone = PlayTone(f"ringback-{self.ring_tone}")
        if len(attempts) == 1 and not attempts[0].screen_url:
            return await self._reach_one(call, attempts[0], tone)
        async with beside(call.ringback(tone)):
            return await look(call, attempts)

    async def _reach_one(self, call: LiveCall, attempt: Attempt, tone: PlayTone) -> ChildCall | None:
        """A single destination may be heard before it answers: announcements, its own ringing."""
        child = await attempt.place(call)
        async with beside(call.hear(child, tone)):
            return child if await attempt.accepted(child) else None

    def _attempts(self, call: LiveCall) -> tuple[Attempt, ...]:
        timeout = self.timeout_seconds + PLATFORM_SECONDS
        return tuple(
            Attempt(
                destination.target(call, caller_id=self.caller_id, timeout_seconds=timeout),
                call.resolve(destination.hooks.screen_url) if destination.hooks.screen_url else "",
                destination.hooks.screen_method,
            )
            for destination in self.destinations
        )

    def _recording(self, call: LiveCall) -> BridgeRecording | None:
        if self.record is None:
            return None
        return replace(self.record, callback=absolute(call, self.record.callback, self.line))

    def _warn_of_caller(self, call: LiveCall) -> None:
        """A SIP address cannot be shown to a telephone (`callerId`)."""
        to_telephone = any(destination.uri.startswith("tel:") for destination in self.destinations)
        if to_telephone and call.is_sip_origin and not self.caller_id:
            message = "<Dial>: the caller has a SIP address; a number needs a callerId"
            call.warn(13214, message, self.line)

    def _missed(self, call: LiveCall) -> Outcome:
        """Nobody was connected: busy, no-answer, failed or canceled; `completed` for somebody who
        answered and was lost while being screened."""
        child = min(call.placed, key=lambda child: _TELLING.index(_status(child)), default=None)
        if child is None:
            return self._over((("DialCallStatus", CallStatus.FAILED.value),), bridged=False)
        parameters: Parameters = (("DialCallStatus", _status(child).value), *call.parameters_of(child))
        return self._over(parameters, bridged=False)

    def _connected(self, call: LiveCall, child: ChildCall, bridged: Bridged) -> Outcome:
        parameters: Parameters = (
            ("DialCallStatus", CallStatus.COMPLETED.value),
            *call.parameters_of(child),
        )
        if bridged.ended_by != "redirected":
            parameters += (("DialCallDuration", str(bridged.seconds)),)
        if recorded := bridged.recording:
            parameters += (
                ("RecordingUrl", recorded.url),
                ("RecordingSid", recorded.sid),
                ("RecordingDuration", str(recorded.seconds)),
            )
        return self._over(parameters, bridged=True)

    def _over(self, parameters: Parameters, *, bridged: bool) -> Outcome:
        if self.action is None:
            return Next()
        return GoTo(self.action, self.method, (*parameters, ("DialBridged", str(bridged).lower())))


def _status(child: ChildCall) -> CallStatus:
    status = child.result.status
    return status if status.final else CallStatus.CANCELED
