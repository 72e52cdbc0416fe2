"""The SIP core alone, in a process of its own, until its input ends; prints its port.

`python -m tests.benchmarks.sip_core PORT` answers every INVITE;
`python -m tests.benchmarks.sip_core PORT TARGET` places a call to the SIP URI `TARGET` for each and
joins the two, signalling only."""

from __future__ import annotations

import asyncio
import logging
import sys

import structlog
import uvloop

from callrouter import collector
from callrouter.caller.line import open_line
from callrouter.ports import (
    Answered,
    Ended,
    Failed,
    MediaAddress,
    OutgoingCall,
    SignalEvent,
    Signalling,
    SipLeg,
)

NOWHERE = MediaAddress("127.0.0.1", 9)
"""No audio is sent or expected."""


def answer(leg: SipLeg) -> None:
    leg.attach(ignore)
    leg.answer(NOWHERE)


def ignore(event: SignalEvent) -> None:
    return


class Bridge:
    """One call in, one call out."""

    def __init__(self, caller: SipLeg, signalling: Signalling, target: str) -> None:
        self.caller = caller
        self.callee = signalling.place(OutgoingCall(target, "+15550100", "", NOWHERE), self.of_callee)
        caller.attach(self.of_caller)

    def of_caller(self, event: SignalEvent) -> None:
        if isinstance(event, Ended):
            self.callee.hangup()
            self.part()

    def of_callee(self, event: SignalEvent) -> None:
        match event:
            case Answered():
                self.caller.answer(NOWHERE)
            case Failed():
                self.caller.reject(event.status)
                self.part()
            case Ended():
                self.caller.hangup()
                self.part()

    def part(self) -> None:
        """Who is known by its legs and knows them would wait for the collector; the server's calls do not."""
        self.caller.attach(ignore)
        self.callee.attach(ignore)


async def serve(port: int, target: str) -> None:
    async with open_line(port=port) as line:
        if target:
            line.signalling.on_incoming(lambda leg: bridge(leg, line.signalling, target))
        else:
            line.signalling.on_incoming(answer)
        collector.spare()  # as the server does when it starts
        print(port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def bridge(leg: SipLeg, signalling: Signalling, target: str) -> None:
    Bridge(leg, signalling, target)


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
