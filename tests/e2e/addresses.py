"""Ports that nobody uses."""

from __future__ import annotations

import itertools
import os
import socket

_CANDIDATES = itertools.cycle(range(21000 + os.getpid() % 400 * 20, 32000))
"""Below the kernel's ephemeral range, so that no outgoing connection takes one meanwhile."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port free for UDP and TCP alike; handed out once per process."""
    for port in _CANDIDATES:
        if _free(host, port, socket.SOCK_STREAM) and _free(host, port, socket.SOCK_DGRAM):
            return port
    raise AssertionError("no free port")


def _free(host: str, port: int, kind: socket.SocketKind) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as attempt:
        try:
            attempt.bind((host, port))
        except OSError:
            return False
    return True
