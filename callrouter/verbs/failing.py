"""A verb that cannot run: the document is sound up to it, and fails when its turn comes."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.errors import DocumentError
from callrouter.ports import Interrupt, LiveCall, Outcome


@dataclass(frozen=True, slots=True)
class Failing:
    line: int
    code: int
    message: str

    async def run(self, call: LiveCall) -> Outcome:
        raise DocumentError(self.message, code=self.code, line=self.line)

    def interrupted(self, call: LiveCall, cause: Interrupt) -> Outcome | None:
        return None
