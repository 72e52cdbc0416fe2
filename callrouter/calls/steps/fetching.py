"""Fetching granted documents."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from callrouter.calls import parameters, steps
from callrouter.calls.question import request_for, resolve
from callrouter.calls.steps.context import Context
from callrouter.calls.steps.step import Step
from callrouter.errors import DocumentError, FetchFailed
from callrouter.ports import FetchedDocument, FetchOrder, GoTo, Hangup, Interrupt, Shutdown
from dispatcher.grant import DocumentGrant
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller


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
            return steps.Apologizing(error)
        opening = asyncio.create_task(controller.take(self.grant.control, self.cause))
        try:
            document = await fetch(controller, self.grant)
        except FetchFailed as error:
            context = replace(self.context, url=self.grant.url, fallback_used=self.is_fallback)
            return steps.failed(controller, error, context)
        finally:
            try:
                await opening
            finally:
                del opening  # a task keeps its exception, and that this frame
        context = replace(self.context, url=document.url, fallback_used=self.is_fallback)
        return steps.run(controller, document.body, document.content_type, context)

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
        error.recorded = True
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
                controller.report(error)
        return None

    def yields_to(self, cause: Interrupt) -> bool:
        return False
