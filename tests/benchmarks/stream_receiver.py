"""Where the media streams of `media_paths.py` end: a WebSocket server in a process of its own.

Prints its port, counts what comes, and prints at the end of its input how many media messages
came, how many were out of order, and how late the 99th of 100 was, in microseconds."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop
from aiohttp import WSMsgType, web


class Receiver:
    def __init__(self) -> None:
        self.arrivals: list[list[float]] = []
        self.disordered = 0

    async def hear(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        mine: list[float] = []
        self.arrivals.append(mine)
        chunk = 0
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            mine.append(time.monotonic())
            number = int(json.loads(message.data)["media"]["chunk"])
            self.disordered += number != chunk + 1
            chunk = number
        return socket

    def lateness_us(self) -> list[int]:
        """Against the steadiest schedule of 20 ms that none was early for, stream by stream."""
        late: list[int] = []
        for arrivals in self.arrivals:
            shifted = [at - 0.02 * n for n, at in enumerate(arrivals)]
            late += [round((shift - min(shifted)) * 1e6) for shift in shifted]
        return sorted(late)


async def serve() -> None:
    receiver = Receiver()
    application = web.Application()
    application.router.add_get("/", receiver.hear)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    late = receiver.lateness_us()
    print(len(late), receiver.disordered, late[len(late) * 99 // 100] if late else 0, flush=True)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve())
