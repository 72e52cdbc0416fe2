"""Do a thing once for everybody who wants it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Callers of the same key share one running task.

    A caller that is cancelled leaves; the work goes on for the others, and for whoever asks next.
    """

    def __init__(self) -> None:
        self._flights: dict[str, asyncio.Task[Result]] = {}

    async def do(self, key: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """The result of `work()`, started here or by an earlier caller."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(_run(work), name=f"flight-{key[:40]}")
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(flight)

    async def stop(self) -> None:
        """Cancel what is under way and wait for it."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _landed(self, key: str, flight: asyncio.Task[Result]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            # Marks it as seen: with every caller gone there is nobody left to tell.
            flight.exception()


async def _run(work: Callable[[], Awaitable[Result]]) -> Result:
    return await work()
