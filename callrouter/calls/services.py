"""Everything a controller works with, joined once by `callrouter.app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from callrouter.calls.loops import Loops
from callrouter.calls.settings import Settings
from callrouter.calls.transfer_tokens import TransferTokens
from callrouter.identity.addresses import Address
from callrouter.ports import Clock, Fetcher, Ids, Media, Metrics, Signalling, Speech
from callrouter.verbs.program import Program
from dispatcher.grant import Control, Grant, NoOutlet, Refusal, Request
from metering.interval import CallFacts, Cause, Holder

if TYPE_CHECKING:
    from callrouter.calls.exchange import Exchange
    from callrouter.calls.records import CallLog


class Dispatcher(Protocol):
    """`dispatcher.dispatch`, as far as calls use it."""

    async def dispatch(self, request: Request) -> Grant | NoOutlet | Refusal: ...
    async def number(self, address: str) -> Address | None: ...
    async def key_number(self, account_sid: str, caller: str) -> str: ...
    def event(self, control: Control, event: str) -> str | None: ...


class Meter(Protocol):
    """`metering.meter`, as far as calls use it."""

    @property
    def writable(self) -> bool: ...

    async def begin(self, call: CallFacts, holder: Holder, *, at_ns: int, cause: Cause) -> None: ...
    async def transfer(
        self, call_sid: str, holder: Holder, *, at_ns: int, cause: Cause, session_sid: str = ""
    ) -> None: ...
    async def end(self, call_sid: str, *, at_ns: int, cause: Cause) -> None: ...
    def post_end(self, call_sid: str, *, at_ns: int, cause: Cause) -> int: ...
    async def save_dialog(self, call_sid: str, state: str) -> None: ...
    def drop_dialog(self, call_sid: str) -> None: ...


@dataclass(slots=True)
class Services:
    clock: Clock
    ids: Ids
    metrics: Metrics
    media: Media
    signalling: Signalling
    fetcher: Fetcher
    speech: Speech
    dispatcher: Dispatcher
    meter: Meter
    log: CallLog
    exchange: Exchange
    compile: Callable[[bytes, str, str], Program]
    """Body, content type and URL → program.  Raises `DocumentError`."""
    settings: Settings
    recordings: Path
    loops: Loops
    public_url: str
    """Base of the URLs handed to applications, without a trailing slash."""
    transfers: TransferTokens = field(default_factory=TransferTokens)
