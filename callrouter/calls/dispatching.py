"""Passing control: ask the dispatcher, fetch what it grants, live with what it refuses."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from callrouter.calls import parameters
from callrouter.calls.live import ScopedCall
from callrouter.calls.running import Context, Running
from callrouter.calls.step import Step
from callrouter.errors import CallError, DocumentError, FetchFailed
from callrouter.ports import (
    FetchedDocument,
    FetchOrder,
    GoTo,
    Hangup,
    Interrupt,
    Parameters,
    Replace,
    Shutdown,
    Transfer,
)
from dispatcher.grant import (
    BridgeGrant,
    Control,
    DocumentGrant,
    Grant,
    InlineGrant,
    NoOutlet,
    Refusal,
    Request,
    ResumeGrant,
)
from metering.interval import Cause, Holder, Mode

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller

INLINE = "inline:"
"""The dispatcher's target for a document that came with an API request."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def resolve(base: str, url: str) -> str:
    """`url` as an absolute target, relative ones against `base`.  Raises `DocumentError` 11100."""
    url = url.strip()
    if _SCHEME.match(url):
        return url
    if not base:
        raise DocumentError(
            f"{url or 'an empty URL'} is relative, but the document came without a URL of its own", code=11100
        )
    return urljoin(base, url) if url else base


def request_for(controller: Controller, target: str, cause: Cause, **changes: object) -> Request:
    """The dispatcher's question about this call."""
    call = controller.call
    request = Request(
        target=target,
        cause=cause,
        call_sid=call.sid,
        session_sid=call.facts.session_sid,
        account_sid=call.facts.account_sid,
        key_number=call.facts.key_number,
        caller=call.from_,
        callee=call.to,
        current=controller.control,
        now_ms=controller.services.clock.utc_ms(),
    )
    return replace(request, **changes)  # type: ignore[arg-type]  # names are checked by replace itself


@dataclass(slots=True)
class Dispatching(Step):
    """Ask for control to pass to where `order` says."""

    order: GoTo
    cause: Cause
    context: Context | None = None
    origin: Running | None = None
    """The document that goes on if the target turns out to be an unwired outlet."""
    promised: bool = False
    """The request is owed even if the caller hangs up before it is made."""
    is_fallback: bool = False

    async def perform(self, controller: Controller) -> Step | None:
        try:
            target = resolve(self.context.url if self.context else "", self.order.target)
        except DocumentError as error:
            return failed(controller, error, self.context, line=_line(self.origin))
        answer = await controller.services.dispatcher.dispatch(
            request_for(
                controller,
                target,
                Cause.OUTLET if target.startswith("outlet:") else self.cause,
                method=self.order.method,
                parameters=self.order.parameters,
                on_behalf_of=self.context.on_behalf_of if self.context else "",
            )
        )
        match answer:
            case NoOutlet():
                controller.warn(12200, answer.message, _line(self.origin))
                return self.origin.onward() if self.origin else None
            case Refusal():
                return Refused(answer)
            case _:
                return carry_out(controller, answer, self)

    def yields_to(self, cause: Interrupt) -> bool:
        return not (self.promised and isinstance(cause, Hangup | Shutdown))

    async def owed(self, controller: Controller, cause: Interrupt) -> Step | None:
        if self.promised and self.context is not None and isinstance(cause, Hangup | Shutdown):
            return LastRequest(self.order, self.context)
        return None


def carry_out(controller: Controller, grant: Grant, asked: Dispatching) -> Step | None:
    """The step that makes use of `grant`."""
    cause = Cause.OUTLET if asked.order.target.startswith("outlet:") else asked.cause
    base = asked.context
    match grant:
        case DocumentGrant():
            keep = replace(base, control=grant.control) if base else Context(grant.control, "")
            return Fetching(grant, cause, keep, promised=asked.promised, is_fallback=asked.is_fallback)
        case BridgeGrant():
            return Bridged(grant, cause)
        case ResumeGrant() if asked.origin is not None:
            return Taking(grant.control, Cause.RESUME, asked.origin.onward())
        case ResumeGrant() | InlineGrant():
            controller.warn(12200, f"{asked.order.target} has nothing to go back to")
            return None


@dataclass(slots=True)
class Taking(Step):
    """Journal the transfer, then go on."""

    control: Control
    cause: Cause
    then: Step

    async def perform(self, controller: Controller) -> Step | None:
        await controller.take(self.control, self.cause)
        return self.then


@dataclass(slots=True)
class Bridged(Step):
    """Give the call to the bridge: its document is a Dial of the granted address."""

    grant: BridgeGrant
    cause: Cause

    async def perform(self, controller: Controller) -> Step | None:
        from modules.library.bridge import document

        await controller.take(self.grant.control, self.cause)
        body = document(self.grant.uri, dict(self.grant.parameters))
        return run(
            controller,
            body,
            "text/xml",
            Context(self.grant.control, "", granted=self.grant, at_end=_not_joined),
        )


def _not_joined(controller: Controller) -> Step | None:
    """The bridge did not come about: the flow may know what then."""
    if controller.control is None:
        return None
    target = controller.services.dispatcher.event(controller.control, "failed")
    return Dispatching(GoTo(target), Cause.EVENT) if target else None


@dataclass(slots=True)
class Fetching(Step):
    """Fetch a granted document while the meter writes its opening; run it when both are done."""

    grant: DocumentGrant
    cause: Cause
    context: Context
    promised: bool = False
    is_fallback: bool = False

    async def perform(self, controller: Controller) -> Step | None:
        if not controller.may_fetch():
            limit = controller.services.settings.max_documents_per_minute
            error = DocumentError(f"more than {limit} documents within a minute: a loop?", code=12400)
            return Apologizing(error)
        opening = asyncio.ensure_future(controller.take(self.grant.control, self.cause))
        try:
            document = await fetch(controller, self.grant)
        except FetchFailed as error:
            context = replace(self.context, url=self.grant.url, fallback_used=self.is_fallback)
            return failed(controller, error, context)
        finally:
            await opening
        context = replace(self.context, url=document.url, fallback_used=self.is_fallback)
        return run(controller, document.body, document.content_type, context)

    def yields_to(self, cause: Interrupt) -> bool:
        return not (self.promised and isinstance(cause, Hangup | Shutdown))


async def fetch(controller: Controller, grant: DocumentGrant) -> FetchedDocument:
    """One logged request for a granted document.  Raises `FetchFailed`."""
    call, services = controller.call, controller.services
    order = FetchOrder(
        grant.url,
        grant.method,
        parameters.merged(parameters.standard(call), grant.parameters),
        grant.control.secret,
    )
    started_ms = services.clock.utc_ms()
    try:
        document = await services.fetcher.document(order, call.jar)
    except FetchFailed as error:
        services.log.fetch_failed(call, order, error, started_ms)
        raise
    services.log.fetched(call, order, document, started_ms)
    return document


@dataclass(slots=True)
class LastRequest(Step):
    """The request a verb still owes after the caller hung up; its document is not run."""

    order: GoTo
    context: Context

    async def perform(self, controller: Controller) -> Step | None:
        target = resolve(self.context.url, self.order.target)
        answer = await controller.services.dispatcher.dispatch(
            request_for(
                controller,
                target,
                Cause.VERB,
                method=self.order.method,
                parameters=self.order.parameters,
                current=self.context.control,
            )
        )
        if isinstance(answer, DocumentGrant):
            try:
                await fetch(controller, answer)
            except FetchFailed as error:
                controller.warn(error.code, str(error), level="error")
        return None

    def yields_to(self, cause: Interrupt) -> bool:
        return False


@dataclass(slots=True)
class Refused(Step):
    """Policy said no: the denied outlet, else a SIP status, else a sentence."""

    refusal: Refusal

    async def perform(self, controller: Controller) -> Step | None:
        refusal, call = self.refusal, controller.call
        controller.services.metrics.count("policy_refusals", rule=refusal.rule)
        controller.warn(
            refusal.code or 12400, f"refused by rule {refusal.rule}: {refusal.reason}", level="error"
        )
        if isinstance(refusal.denied, DocumentGrant):
            return Fetching(refusal.denied, Cause.POLICY, Context(refusal.denied.control, ""))
        if isinstance(refusal.denied, BridgeGrant):
            return Bridged(refusal.denied, Cause.POLICY)
        call.end_detail = f"refused by rule {refusal.rule}"
        if call.is_answered:
            return Apologizing(None, refusal.spoken)
        await controller.start_track(
            refusal.holder or Holder("platform.router", "platform", Mode.SETUP)
        ) if controller.control is None else None
        call.sip_status = refusal.sip_status
        if call.leg is not None and call.leg.sip is not None:
            call.leg.sip.reject(refusal.sip_status)
        controller.fail()
        return None


@dataclass(slots=True)
class Apologizing(Step):
    """Say why, and hang up: a caller always hears something."""

    error: CallError | None
    text: str = ""

    async def perform(self, controller: Controller) -> Step | None:
        services = controller.services
        if self.error is not None:
            controller.call.error_code = self.error.code
            controller.call.end_detail = f"error {self.error.code}"
            controller.warn(self.error.code, str(self.error), level="error")
        if controller.control is None:
            controller.fail()
            return None
        live = ScopedCall(controller, Context(controller.control, ""))
        try:
            spoken = await live.speech(
                self.text or services.settings.error_message, voice="alice", language="en-US"
            )
            await live.play([spoken])
        finally:
            await live.release(keep=None)
        return None


def failed(
    controller: Controller,
    error: CallError,
    context: Context | None,
    *,
    line: int = 0,
) -> Step:
    """What follows an error that a document cannot survive: the fallback URL, once, else words."""
    call = controller.call
    url = error.url if isinstance(error, FetchFailed) else (context.url if context else "")
    where = getattr(error, "line", 0) or line
    if not call.fallback or (context is not None and (context.fallback_used or context.screening)):
        return Apologizing(error)
    controller.warn(error.code, str(error), where, level="error")
    details: Parameters = (("ErrorCode", str(error.code)), ("ErrorUrl", url))
    order = GoTo(call.fallback, call.fallback_method, details)
    return Dispatching(order, Cause.FALLBACK, context, is_fallback=True)


def instructions_of(controller: Controller, cause: Replace | Transfer) -> Step | None:
    """The step that new instructions from outside lead to."""
    from callrouter.calls.child import detach

    detach(controller)
    if isinstance(cause, Transfer):
        return Dispatching(GoTo(cause.target), Cause.EVENT if cause.cause == "event" else Cause.API)
    if cause.fallback:
        controller.call.fallback = cause.fallback
    if cause.twiml:
        return Inline(cause.twiml)
    return Dispatching(GoTo(cause.target, cause.method), Cause.API)


@dataclass(slots=True)
class Inline(Step):
    """Run a document that came with a REST request; without a grant yet, ask for one first."""

    twiml: str
    grant: InlineGrant | None = None

    async def perform(self, controller: Controller) -> Step | None:
        answer = self.grant or await controller.services.dispatcher.dispatch(
            request_for(controller, INLINE, Cause.API)
        )
        if isinstance(answer, Refusal):
            return Refused(answer)
        if not isinstance(answer, InlineGrant):
            return Apologizing(DocumentError("the dispatcher did not grant an inline document", code=12400))
        await controller.take(answer.control, Cause.API)
        return run(controller, self.twiml.encode(), "text/xml", Context(answer.control, ""))


def run(controller: Controller, body: bytes, content_type: str, context: Context) -> Step:
    """Compile `body` and begin with its first verb.  A document that cannot be compiled fails."""
    try:
        program = controller.services.compile(body, content_type, context.url)
    except DocumentError as error:
        return failed(controller, error, context)
    for warning in program.warnings:
        controller.warn(warning.code, warning.message, warning.line, level=warning.level.value)
    return Running(context, program)


def _line(origin: Running | None) -> int:
    return origin.program.verbs[origin.index].line if origin is not None else 0
