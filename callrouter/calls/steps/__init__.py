"""The steps of a call's life.  They lead to each other, so they meet here:

Arriving, Originating ──► Dispatching     a call begins (incoming.py, control.py)
Placing ──► Driven                        a call is dialled, and waits for its parent
Dispatching ──► Fetching, Joining, Taking, Refused
Fetching, Inline, Joining ──► Running     a document is there
Running ──► Running, Dispatching, Bridging, Apologizing
Driven ──► Transferring ──► Bridging      it is handed on, and leaves its parent
Bridging ──► Dispatching, Resuming        a conversation is over
Bridging ──► Departing                    its far end has handed the conversation on
Resuming ──► Running, Dispatching
any ──► LastRequest                       what is owed after a hang-up
"""

from callrouter.calls.steps.bridging import Bridging, Joining, Resuming
from callrouter.calls.steps.context import Context
from callrouter.calls.steps.dispatching import Dispatching, Taking, carry_out, instructions_of
from callrouter.calls.steps.failing import Apologizing, Refused, failed
from callrouter.calls.steps.fetching import Fetching, LastRequest
from callrouter.calls.steps.placing import Driven, Placing
from callrouter.calls.steps.running import Inline, Running, run
from callrouter.calls.steps.step import Step
from callrouter.calls.steps.transferring import Departing, Transferring, on_its_own

__all__ = [
    "Apologizing",
    "Bridging",
    "Context",
    "Departing",
    "Dispatching",
    "Driven",
    "Fetching",
    "Inline",
    "Joining",
    "LastRequest",
    "Placing",
    "Refused",
    "Resuming",
    "Running",
    "Step",
    "Taking",
    "Transferring",
    "carry_out",
    "failed",
    "instructions_of",
    "on_its_own",
    "run",
]
