"""`python -m tests.benchmarks.connections`: what connections that say nothing cost the whole server, and how
long it answers nobody else while they all open, ping and close."""

from __future__ import annotations

import argparse
import asyncio
import resource
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from tests.e2e.addresses import free_port
from tests.e2e.server import Server, one_application

PER_ADDRESS = 100
OPTIONS = (
    "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK{0}\r\n"
    "From: <sip:a@b>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: {0}\r\nCSeq: 1 OPTIONS\r\n"
    "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


class Asker:
    """Somebody else, who notes the longest it had to wait for an answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._longest = 0.0

    @asynccontextmanager
    async def during(self, what: str) -> AsyncIterator[None]:
        self._longest = 0.0
        asking = asyncio.create_task(self._ask())
        begun = time.perf_counter()
        yield
        took = time.perf_counter() - begun
        await asyncio.sleep(0.2)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        print(f"{what:<28} {took:6.2f} s   longest wait of others {1000 * self._longest:5.0f} ms")

    async def _ask(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        for number in range(1_000_000):
            begun = time.perf_counter()
            writer.write(OPTIONS.format(f"{begun}-{number}").encode())
            await reader.readuntil(b"\r\n\r\n")
            self._longest = max(self._longest, time.perf_counter() - begun)
            await asyncio.sleep(0.005)


async def main(count: int) -> None:
    port = free_port()
    listen = [{"host": "127.0.0.1", "port": port, "transport": "tcp"}]
    sip = {
        "listen": listen,
        "max_connections": count + 100,
        "max_connections_per_address": PER_ADDRESS,
        "defence": {"requests_per_second": 100_000, "burst": 1_000_000},
    }
    Server.log_level = "info"
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        async with Server(Path(folder), one_application("http://127.0.0.1:9/"), sip=sip) as server:
            assert server.program is not None
            process, asker = psutil.Process(server.program.pid), Asker(port)
            before = process.memory_info().rss
            sockets: list[socket.socket] = []
            async with asker.during(f"{count} connections opened"):
                for number in range(count):
                    one = socket.socket()
                    one.setblocking(False)
                    one.bind((f"127.0.{1 + number // PER_ADDRESS}.1", 0))
                    await loop.sock_connect(one, ("127.0.0.1", port))
                    sockets.append(one)
            async with asker.during("each pings"):
                for one in sockets:
                    one.send(b"\r\n\r\n")
                for one in sockets:
                    assert await loop.sock_recv(one, 2) == b"\r\n"
            grown = process.memory_info().rss - before
            async with asker.during("all close at once"):
                for one in sockets:
                    one.close()
                while len(process.net_connections()) > PER_ADDRESS:
                    await asyncio.sleep(0.05)
    print(f"memory of the process        {grown / count / 1024:6.1f} kB a connection")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=5000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(main(parser.parse_args().count))
