"""<Play>: play a file or send digits (docs/verbs.md)."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.documents.attributes import Attributes
from callrouter.documents.element import Element
from callrouter.documents.finding import UNEXPECTED, Finding, warning
from callrouter.errors import AudioUnplayable
from callrouter.ports import Interrupt, LiveCall, Next, Outcome, PlayDigits
from callrouter.verbs.prompt import Prompt, play

DIGITS = "0123456789ABCDabcd#*wW"
"""What can be sent: keys, `w` half a second of silence, `W` a second."""
MAX_DIGITS = 256


@dataclass(frozen=True, slots=True)
class Play:
    """Exactly one of `source` and `digits` is set, or neither: then there is nothing to play."""

    line: int
    source: str = ""
    digits: str = ""
    loops: int = 1
    unplayable: int = 13420
    """Code for a file that cannot be played; another one inside Gather."""

    @classmethod
    def parse(cls, element: Element, findings: list[Finding]) -> Play:
        read = Attributes(element, findings)
        digits = read.characters("digits", "", DIGITS, code=13430, most=MAX_DIGITS)
        loops = read.loop(13410)
        read.finish()
        source = element.text
        if digits and source:
            findings.append(
                warning(element.line, UNEXPECTED, "<Play>: digits are sent, the URL beside them is ignored")
            )
            source = ""
        if not digits and not source:
            findings.append(warning(element.line, UNEXPECTED, "<Play>: there is neither a URL nor digits"))
        return cls(element.line, source, digits, loops)

    async def prepare(self, call: LiveCall) -> Prompt:
        if self.digits:
            return Prompt((PlayDigits(self.digits),), self.loops)
        if not self.source:
            return Prompt(())
        try:
            return Prompt((await call.audio(call.resolve(self.source)),), self.loops)
        except AudioUnplayable as error:
            raise AudioUnplayable(str(error), code=self.unplayable) from error

    async def run(self, call: LiveCall) -> Outcome:
        await play(call, await self.prepare(call))
        return Next()

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        return None
