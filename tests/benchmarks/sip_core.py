"""The SIP core alone, in a process of its own: answers every INVITE, serves until its input ends.

Prints its port."""

from __future__ import annotations

import asyncio
import logging
import sys

import structlog
import uvloop

from callrouter.caller.line import open_line
from callrouter.ports import MediaAddress, SignalEvent, SipLeg

NOWHERE = MediaAddress("127.0.0.1", 9)
"""No audio is sent or expected."""


def answer(leg: SipLeg) -> None:
    leg.attach(ignore)
    leg.ring()
    leg.answer(NOWHERE)


def ignore(event: SignalEvent) -> None:
    return


async def serve(port: int) -> None:
    async with open_line(port=port) as line:
        line.signalling.on_incoming(answer)
        print(port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    uvloop.run(serve(int(sys.argv[1])))
