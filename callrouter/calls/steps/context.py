"""Under whose control, and from where, a document runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callrouter.calls.steps.step import Step
from dispatcher.grant import BridgeGrant, Control

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller


def nothing(controller: Controller) -> Step | None:
    """The end of a document is the end of the call."""
    return None


@dataclass(frozen=True, slots=True)
class Context:
    """Under whose control, and from where, a document runs."""

    control: Control
    url: str
    """Base of relative URLs and default of `action`; "" for a document that came with a request."""
    screening: bool = False
    on_behalf_of: str = ""
    granted: BridgeGrant | None = None
    """For the bridge's own document: the permission it was made from."""
    fallback_used: bool = False
    """The document came from the fallback URL: another failure is final."""
    at_end: Callable[[Controller], Step | None] = nothing
    """What follows when the verbs run out; by default the call ends."""
