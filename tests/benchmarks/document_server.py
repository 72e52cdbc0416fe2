"""One document for every request, as cheaply as can be: `python -m tests.benchmarks.document_server
PORT DOCUMENT`.  Not a web server: it knows just enough HTTP for the server's own client."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop


class Answering(asyncio.Protocol):
    answer = b""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            _, _, length = self._received[:end].lower().partition(b"content-length:")
            size = end + 4 + int(length.split(b"\r\n")[0] or 0)
            if len(self._received) < size:
                return
            self._received = self._received[size:]
            self._transport.write(self.answer)


async def serve(port: int, document: str) -> None:
    body = document.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    Answering.answer = head.encode() + body
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
