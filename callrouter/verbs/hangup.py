"""<Hangup>: end the call.  As the first verb it answers before it hangs up (docs/verbs.md)."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.documents.attributes import Attributes
from callrouter.documents.element import Element
from callrouter.documents.finding import Finding
from callrouter.ports import Finish, Interrupt, LiveCall, Outcome


@dataclass(frozen=True, slots=True)
class Hangup:
    line: int

    @classmethod
    def parse(cls, element: Element, findings: list[Finding]) -> Hangup:
        Attributes(element, findings).finish(nested=("Parameter",))
        return cls(element.line)

    async def run(self, call: LiveCall) -> Outcome:
        await call.answer()
        return Finish("hung up by document")

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        return None
