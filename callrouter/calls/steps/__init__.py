"""The steps of a call's life.  They lead to each other, so they meet here:

Arriving (incoming.py) ─┐                                   ┌─ Refused ── Apologizing
Originating (control.py) ┼─ Dispatching ─┬─ Fetching ─ Running ─┤
Placing ── Driven ───────┘               ├─ Inline ────┘       ├─ Bridging
                                         ├─ Joining ───┘       └─ LastRequest
                                         └─ Taking
"""

from callrouter.calls.steps.bridging import Bridging, Joining
from callrouter.calls.steps.context import Context
from callrouter.calls.steps.dispatching import Dispatching, Taking, carry_out, instructions_of
from callrouter.calls.steps.failing import Apologizing, Refused, failed
from callrouter.calls.steps.fetching import Fetching, LastRequest
from callrouter.calls.steps.placing import Driven, Placing
from callrouter.calls.steps.running import Inline, Running, run
from callrouter.calls.steps.step import Step

__all__ = [
    "Apologizing",
    "Bridging",
    "Context",
    "Dispatching",
    "Driven",
    "Fetching",
    "Inline",
    "Joining",
    "LastRequest",
    "Placing",
    "Refused",
    "Running",
    "Step",
    "Taking",
    "carry_out",
    "failed",
    "instructions_of",
    "run",
]
