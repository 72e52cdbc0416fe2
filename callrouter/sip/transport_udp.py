"""SIP over UDP: one datagram, one message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from callrouter._engine import Door
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.settings import Settings

_CALLS_AT_ONCE = 16
"""New calls taken in one round of the event loop.  What has begun goes on in each round, so a loop that
is busy comes round less often and takes fewer of them: it is never given more than it can carry.
Fewer at once would leave the processor idle: between two rounds other threads have the interpreter."""
_PAUSE_SECONDS = 0.005
"""Until it is asked again whether there is time for new calls."""


class UdpTransport:
    """All UDP listeners, behind one door."""

    def __init__(self, settings: Settings, receive: Callable[[bytes, Hop], None]) -> None:
        self._door = Door(settings.defence.calls_per_second, settings.answers_without_rport == "via")
        self._receive = receive
        self._loop: asyncio.AbstractEventLoop | None = None
        self._again: asyncio.TimerHandle | None = None
        self.has_time: Callable[[], bool] = lambda: True
        """False: new calls have to wait."""
        self.listeners: list[int] = []

    def bind(self, listener: int, host: str, port: int, advertised: str) -> int:
        """The port; raises `OSError`.  `advertised`: how others are told to reach it."""
        bound = self._door.bind(listener, host, port, advertised)
        self.listeners.append(listener)
        return bound

    def start(self) -> None:
        """Begin to receive."""
        if self.listeners:
            self._door.start()
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._door.fileno(), self._take)

    def _take(self) -> None:
        has_time = self.has_time()
        if not has_time and self._again is None and self._loop is not None:
            self._again = self._loop.call_later(_PAUSE_SECONDS, self._take_again)
        for data, host, port, listener in self._door.take(_CALLS_AT_ONCE if has_time else 0):
            self._receive(data, Hop("udp", host, port, listener))

    def _take_again(self) -> None:
        self._again = None
        self._take()

    def sign(self, token: str) -> str:
        """A tag or branch that shows, when it comes back, that a message belongs to a call."""
        return self._door.sign(token)

    def send(self, listener: int, data: bytes, host: str, port: int) -> None:
        """Raises `OSError` or `ValueError` when it cannot even be tried."""
        self._door.send(listener, data, host, port)

    def ban(self, host: str, seconds: int) -> None:
        """Do not listen to `host` for a while, unless it is about a call that is up."""
        self._door.ban(host, seconds)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Since the start: new calls turned away, datagrams of banned sources, and others dropped."""
        return self._door.counts()

    def close(self) -> None:
        if self._again is not None:
            self._again.cancel()
        if self._loop is not None:
            self._loop.remove_reader(self._door.fileno())
            self._loop = None
        self._door.close()
        self.listeners.clear()
