"""<Pause>: wait (docs/verbs.md).  Before answer it delays the answer: the caller hears it ring."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.documents.attributes import Attributes
from callrouter.documents.element import Element
from callrouter.documents.finding import Finding
from callrouter.ports import Interrupt, LiveCall, Next, Outcome, PlaySilence
from callrouter.verbs.prompt import Prompt

LONGEST_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Pause:
    line: int
    seconds: int = 1

    @classmethod
    def parse(cls, element: Element, findings: list[Finding]) -> Pause:
        read = Attributes(element, findings)
        seconds = read.integer("length", 1, code=13910, least=1, most=LONGEST_SECONDS)
        read.finish()
        return cls(element.line, seconds)

    async def prepare(self, call: LiveCall) -> Prompt:
        return Prompt((PlaySilence(self.seconds * 1000),))

    async def run(self, call: LiveCall) -> Outcome:
        if not call.is_answered:
            await call.ring()
        await call.sleep(self.seconds)
        return Next()

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        return None
