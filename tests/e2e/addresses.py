"""Ports that nobody uses, and that no other suite on this machine is about to use."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from tests.patience import until

STEP = 4
"""A SIP telephone takes its port for TLS beside the one it is given."""
KEPT = 250
"""How many ports a process keeps to itself: those of its latest tests."""
_PORTS = range(21_000, 29_900, STEP)
"""Below the RTP ports of telephones and the ephemeral ones, so that nothing takes one meanwhile."""
_CANDIDATES = cycle([*_PORTS[os.getpid() * 5 % len(_PORTS) :], *_PORTS[: os.getpid() * 5 % len(_PORTS)]])


_LISTENING = "0A"
"""A state in `/proc/net/tcp`."""


class Claims:
    """Who has which port: an abstract socket named after it.  Processes of all users who share ports share
    these names, too, and the kernel forgets those of a process that ends, however it ends."""

    def __init__(self, name: str, kept: int = KEPT) -> None:
        self._name = name
        self._held: deque[int] = deque()
        """Descriptors of the sockets."""
        self._kept = kept

    def take(self, port: int) -> bool:
        """Whether nobody has it yet; the one taken longest ago may be had again then."""
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0{self._name}-{port}")
        except OSError:
            claim.close()
            return False
        self._held.append(claim.detach())
        if len(self._held) > self._kept:
            os.close(self._held.popleft())
        return True


_CLAIMS = Claims("callrouter-tests")


def free_port(host: str = "127.0.0.1") -> int:
    """A port free for UDP and TCP alike."""
    return free_ports(1, host)


def free_ports(count: int, host: str = "127.0.0.1") -> int:
    """The first of `count` ports in a row."""
    row: list[int] = []
    for port in islice(_CANDIDATES, 2 * len(_PORTS)):
        if not (_CLAIMS.take(port) and is_free(host, port)):
            row.clear()
            continue
        if row and port != row[-1] + STEP:
            row.clear()
        row.append(port)
        if len(row) * STEP >= count:
            return row[0]
    raise AssertionError(f"no {count} free ports in a row")


async def taken(port: int, transport: str = "udp") -> None:
    """Return once a program has `port` of this machine: what is sent there waits for it from now on."""
    await until(lambda: is_taken(port, transport))


def is_taken(port: int, transport: str = "udp") -> bool:
    """Asked of the kernel, since who tries to have a port keeps it from the program meanwhile."""
    return any(address.endswith(f":{port:04X}") for address in _bound(transport))


def _bound(transport: str) -> Iterator[str]:
    for family in ("", "6"):
        table = Path(f"/proc/net/{transport}{family}")
        rows = table.read_text().splitlines()[1:] if table.exists() else []
        for _, local, _, state, *_ in (row.split() for row in rows):
            if transport == "udp" or state == _LISTENING:
                yield local


def is_free(host: str, port: int) -> bool:
    return all(_binds(host, port, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))


def _binds(host: str, port: int, kind: socket.SocketKind) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as attempt:
        try:
            attempt.bind((host, port))
        except OSError:
            return False
    return True
