"""One step of a call's life: what the controller does until it is done or interrupted.

A controller performs one step at a time.  A step returns the next one, or None when the call is
over.  When an interrupt arrives the controller cancels the step once, lets it release what it
holds, and asks it what is still owed; then it carries out the interrupt (docs/design.md §4 rule 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller
    from callrouter.ports import Interrupt


class Step:
    """Base of all steps: may be interrupted by anything and owes nothing."""

    async def perform(self, controller: Controller) -> Step | None:
        raise NotImplementedError

    def yields_to(self, cause: Interrupt) -> bool:
        """Whether `cause` cancels the step; otherwise the step is left to finish first."""
        return True

    async def owed(self, controller: Controller, cause: Interrupt) -> Step | None:
        """After cancellation (or instead of starting): what must still be done for `cause`."""
        return None
