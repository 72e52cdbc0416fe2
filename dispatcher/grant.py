"""What the dispatcher is asked and what it answers.

`Dispatcher.dispatch` takes a `Request` and returns a `Grant` or a `Refusal`; `callrouter.calls`
carries the answer out.  Nothing else may start a document or a bridge (docs/design.md §4 rule 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metering.interval import Cause, Holder

Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Control:
    """Who holds the call right now, with all the dispatcher needs to judge the next step."""

    holder: Holder
    inlet_url: str = ""
    """Effective inlet of the running module: documents under its prefix belong to it."""
    secret: str = ""
    """Signs requests to this module: its module secret, or the account's token for `self`."""
    parameters: Parameters = ()
    """Instance parameters (with outlet parameters laid over them)."""


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody wants control of a call to pass to `target`."""

    target: str
    """Absolute target URI: https: http: module: outlet: app: tel: sip: sips: client: resume:
    (and `inline:` for an order of the API that brings its own document)."""
    cause: Cause
    call_sid: str
    session_sid: str
    account_sid: str
    key_number: str
    caller: str
    callee: str
    current: Control | None
    """None for a call's first dispatch."""
    method: Literal["GET", "POST"] = "POST"
    parameters: Parameters = ()
    now_ms: int = 0
    """UTC milliseconds, for periods and time-dependent rules."""
    suspended: bool = False
    """A document waits behind its Dial, so `resume:` has something to resume."""
    on_behalf_of: str = ""
    driven_by: str = ""


@dataclass(frozen=True, slots=True)
class DocumentGrant:
    """Fetch this and run it."""

    control: Control
    url: str
    method: Literal["GET", "POST"]
    parameters: Parameters
    """What goes with the request beside the standard voice parameters."""
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class InlineGrant:
    """Run a document that came with the request itself (REST `Twiml`)."""

    control: Control


@dataclass(frozen=True, slots=True)
class BridgeGrant:
    """Join the call to `uri` (`tel:`, `sip:`, `client:`) with no document executing."""

    control: Control
    uri: str
    parameters: Parameters = ()
    """Of the bridge instance: `timeout`, `timeLimit`, `callerId`, `hangupOnStar`, as Dial spells them."""


@dataclass(frozen=True, slots=True)
class ResumeGrant:
    """Go back to the suspended document, at the verb after its Dial."""

    control: Control


@dataclass(frozen=True, slots=True)
class NoOutlet:
    """The outlet is not wired: the document goes on after its redirect, with a warning."""

    outlet: str
    message: str


Grant = DocumentGrant | InlineGrant | BridgeGrant | ResumeGrant


@dataclass(frozen=True, slots=True)
class Refusal:
    """Policy (or resolution) said no; the first rule that did is named."""

    rule: str
    """`number`, `banned`, `account`, `subscription`, `prepaid`, … or `target` when it cannot be resolved."""
    reason: str
    """One sentence for the developer."""
    spoken: str
    """What a caller in an answered call hears."""
    sip_status: int
    """Refusal of an unanswered call."""
    code: int = 0
    """TwiML error code, 0 if none fits."""
    holder: Holder | None = None
    """Whose turn it would have been, so that the time of the refusal has an owner."""
    denied: Grant | None = None
    """Where the flow's `denied` outlet (else the account's fallback) leads, already judged."""
