"""The calls that are alive in this process, and the tasks that run them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import structlog

from callrouter.ports import Shutdown, SipLeg

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller
    from callrouter.calls.steps.step import Step

logger = structlog.get_logger(__name__)


class Exchange:
    """Owns every controller's task from its start until it has released everything."""

    def __init__(self) -> None:
        self._controllers: dict[str, Controller] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._loose: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False
        self.incoming: Callable[[SipLeg], None] | None = None
        """Takes a new call, from wherever it comes."""

    def __len__(self) -> int:
        return len(self._controllers)

    def __iter__(self) -> Iterator[Controller]:
        return iter(list(self._controllers.values()))

    def get(self, sid: str) -> Controller | None:
        return self._controllers.get(sid)

    def session(self, sid: str) -> list[Controller]:
        """The live calls of a session, the root first."""
        members = [c for c in self._controllers.values() if c.call.facts.session_sid == sid]
        return sorted(members, key=lambda c: (c.call.sid != sid, c.call.created_ns))

    def spawn(self, controller: Controller, first: Step) -> None:
        """Run `controller` from `first` on, in a task of its own."""
        self._own(controller, asyncio.get_running_loop().create_task(controller.run(first)))

    async def run(self, controller: Controller, first: Step) -> None:
        """Run `controller` from `first` on, in the task that awaits this and has nothing else to do."""
        self._own(controller, asyncio.current_task())
        await controller.run(first)

    def _own(self, controller: Controller, task: asyncio.Task[None] | None) -> None:
        assert task is not None  # noqa: S101 - whoever awaits is in one
        sid = controller.call.sid
        self._controllers[sid], self._tasks[sid] = controller, task
        self._idle.clear()
        task.set_name(f"call {sid}")
        task.add_done_callback(lambda done: self._gone(sid, done))

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Own a short task that belongs to no call yet."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._loose.add(task)
        task.add_done_callback(self._loose_done)

    def _loose_done(self, task: asyncio.Task[None]) -> None:
        self._loose.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task_failed", task=task.get_name(), error=repr(error))

    def _gone(self, sid: str, task: asyncio.Task[None]) -> None:
        self._controllers.pop(sid, None)
        self._tasks.pop(sid, None)
        if not self._controllers:
            self._idle.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("call_task_failed", call=sid, error=repr(error))

    async def drain(self, seconds: float) -> None:
        """Take no new calls, let the live ones go on for `seconds`, then hang them up."""
        self.draining = True
        if await self._settled(seconds):
            return
        for controller in self:
            controller.interrupt(Shutdown("the server is shutting down"))
        if not await self._settled(10):
            logger.error("calls_left_behind", calls=len(self))
            for task in list(self._tasks.values()):
                task.cancel()

    async def _settled(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True
