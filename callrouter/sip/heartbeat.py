"""How loaded we are, felt fifty times a second and judged ten times, for the gate that lets new calls
in.

What counts is whether the event loop is late, not how busy it is: a processor that is used to the
full is well used as long as nothing waits.  Late for long, while it had work to do, is overload,
however fast the machine is and whoever else uses it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time

from callrouter.ports import Clock
from callrouter.sip.protocol.gate import CallGate
from callrouter.sip.tally import Tally

_PROBE_NS = 20_000_000
_PROBES = 5
"""Of one judgement."""
_MOST_LATE_NS = 12_000_000
"""On average of the probes: whoever asks waits for twice as long."""
_MOST_WANTED = 0.6
"""Share of the time that the loop ran or waited for a processor: a loop that is late without wanting
one was held up by something that fewer calls do not help against.  Less than all of it, since waiting
for the interpreter's lock is seen nowhere."""


class Heartbeat:
    """`tally` is brought up to date with each judgement."""

    def __init__(self, gate: CallGate, clock: Clock, tally: Tally) -> None:
        self._gate = gate
        self._clock = clock
        self._tally = tally
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._due_ns = 0
        self._late_ns: list[int] = []
        self._judged_ns = 0
        self._wanted_ns = 0

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._judged_ns, self._wanted_ns = self._clock.monotonic_ns(), _wanted_ns()
        self._arm(self._judged_ns)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, now_ns: int) -> None:
        if self._loop is not None:
            self._due_ns = now_ns + _PROBE_NS
            self._handle = self._loop.call_later(_PROBE_NS / 1e9, self._probe)

    def _probe(self) -> None:
        now_ns = self._clock.monotonic_ns()
        self._late_ns.append(max(0, now_ns - self._due_ns))
        if len(self._late_ns) >= _PROBES:
            self._judge(now_ns)
        self._arm(now_ns)

    def _judge(self, now_ns: int) -> None:
        wanted_ns = _wanted_ns()
        elapsed_ns = max(1, now_ns - self._judged_ns)
        late = sum(self._late_ns) / len(self._late_ns) / _MOST_LATE_NS
        wanted = (wanted_ns - self._wanted_ns) / elapsed_ns / _MOST_WANTED
        self._late_ns.clear()
        self._judged_ns, self._wanted_ns = now_ns, wanted_ns
        self._gate.tick(min(late, wanted), elapsed_ns / 1e9)
        self._tally.report()


def _wanted_ns() -> int:
    """Nanoseconds that the calling thread has run or waited for a processor."""
    path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return time.thread_time_ns()
    try:
        ran, waited = os.read(descriptor, 64).split()[:2]
    finally:
        os.close(descriptor)
    return int(ran) + int(waited)
