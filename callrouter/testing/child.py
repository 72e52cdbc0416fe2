"""A `ChildCall` that follows a script."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from callrouter.ports import CallStatus, DialResult, DialTarget

_SIP_STATUS = {
    CallStatus.COMPLETED: 200,
    CallStatus.BUSY: 486,
    CallStatus.NO_ANSWER: 480,
    CallStatus.FAILED: 404,
    CallStatus.CANCELED: 487,
}


@dataclass(frozen=True, slots=True)
class Callee:
    """What happens at the far end.  Seconds count from the placing, for screening from the answer."""

    status: CallStatus = CallStatus.COMPLETED
    after: float = 3.0
    """When the final answer comes; later than the target's timeout it is `no-answer`."""
    heard_after: float | None = None
    """When early media begins, if at all."""
    screen_seconds: float = 1.0
    stays: bool = True
    """Whether the callee is still there when the screening document has run."""


class FakeChild:
    """Placed by a `FakeCall`; `over` is true once it failed or was ended."""

    def __init__(self, sid: str, target: DialTarget, callee: Callee) -> None:
        self.sid = sid
        self.target = target
        self.callee = callee
        self.status: CallStatus | None = None
        self.over = False
        self.screened: list[tuple[str, str]] = []
        loop = asyncio.get_running_loop()
        self._heard: asyncio.Future[None] = loop.create_future()
        self._settled: asyncio.Future[None] = loop.create_future()
        final = min(callee.after, target.timeout_seconds)
        self._timers = [loop.call_later(final, self._settle)]
        if callee.heard_after is not None and callee.heard_after < final:
            self._timers.append(loop.call_later(callee.heard_after, self._be_heard))

    @property
    def result(self) -> DialResult:
        status = self.status or CallStatus.RINGING
        return DialResult(status, _SIP_STATUS.get(status, 180), f"{self.sid}@fake")

    async def answered(self) -> bool:
        await asyncio.shield(self._settled)
        return self.status is CallStatus.COMPLETED

    async def early_audio(self) -> None:
        await asyncio.shield(self._heard)

    async def screen(self, url: str, method: Literal["GET", "POST"]) -> bool:
        self.screened.append((url, method))
        await asyncio.sleep(self.callee.screen_seconds)
        if not self.callee.stays:
            self.over = True
        return not self.over

    async def end(self) -> None:
        await asyncio.sleep(0)
        self.over = True
        if self.status is None:
            self._finish(CallStatus.CANCELED)

    def _be_heard(self) -> None:
        if not self._heard.done():
            self._heard.set_result(None)

    def _settle(self) -> None:
        late = self.callee.after > self.target.timeout_seconds
        self._finish(CallStatus.NO_ANSWER if late else self.callee.status)

    def _finish(self, status: CallStatus) -> None:
        for timer in self._timers:
            timer.cancel()
        self.status = status
        self.over = self.over or status is not CallStatus.COMPLETED
        self._be_heard()
        if not self._settled.done():
            self._settled.set_result(None)
