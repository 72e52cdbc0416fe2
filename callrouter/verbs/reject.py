"""<Reject>: refuse a call that is not answered yet (docs/verbs.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from callrouter.documents.attributes import Attributes
from callrouter.documents.element import Element
from callrouter.documents.finding import Finding
from callrouter.ports import Interrupt, LiveCall, Outcome, Refuse

_STATUS: dict[str, Literal[486, 603]] = {"rejected": 603, "busy": 486}


@dataclass(frozen=True, slots=True)
class Reject:
    line: int
    reason: str = "rejected"

    @classmethod
    def parse(cls, element: Element, findings: list[Finding]) -> Reject:
        read = Attributes(element, findings)
        reason = read.choice("reason", "rejected", _STATUS, code=13810)
        read.finish(nested=("Parameter",))
        return cls(element.line, reason)

    async def run(self, call: LiveCall) -> Outcome:
        return Refuse(_STATUS[self.reason])

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        return None
