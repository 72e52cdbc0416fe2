"""<Redirect>: go on elsewhere (docs/verbs.md); any target URI will do, `outlet:` and `module:` too."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.documents.attributes import Attributes, Method
from callrouter.documents.element import Element
from callrouter.documents.finding import Finding
from callrouter.ports import GoTo, Interrupt, LiveCall, Outcome


@dataclass(frozen=True, slots=True)
class Redirect:
    line: int
    target: str = ""
    """"" is the current document."""
    method: Method = "POST"

    @classmethod
    def parse(cls, element: Element, findings: list[Finding]) -> Redirect:
        read = Attributes(element, findings)
        method = read.method(code=13710)
        read.finish()
        return cls(element.line, element.text, method)

    async def run(self, call: LiveCall) -> Outcome:
        return GoTo(self.target, self.method)

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        return None
