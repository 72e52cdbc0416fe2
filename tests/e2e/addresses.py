"""Ports that nobody uses."""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TextIO

_PORTS = range(21_000, 29_800)
"""Below the RTP ports of telephones and the ephemeral ones, so that nothing takes one meanwhile."""
_BLOCK = 400
"""Ports a process has for itself."""
_STEP = 4
"""A SIP telephone takes its port for TLS beside the one it is given."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port free for UDP and TCP alike, that no other process running tests is given meanwhile."""
    for port in itertools.islice(_candidates(), _BLOCK // _STEP):
        if _free(host, port, socket.SOCK_STREAM) and _free(host, port, socket.SOCK_DGRAM):
            return port
    raise AssertionError("no free port")


@cache
def _candidates() -> Iterator[int]:
    start, _ = _claim()
    return itertools.cycle(range(start, start + _BLOCK, _STEP))


@cache
def _claim() -> tuple[int, TextIO]:
    """The first port of a block, and the locked file that keeps it ours as long as we run."""
    folder = Path(tempfile.gettempdir()) / f"callrouter-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for start in range(_PORTS.start, _PORTS.stop, _BLOCK):
        lock = (folder / str(start)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
        else:
            return start, lock
    raise AssertionError(
        f"{len(_PORTS) // _BLOCK} processes are testing already: no ports are left for this one"
    )


def _free(host: str, port: int, kind: socket.SocketKind) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as attempt:
        try:
            attempt.bind((host, port))
        except OSError:
            return False
    return True
