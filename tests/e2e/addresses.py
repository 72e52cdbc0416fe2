"""Ports that nobody uses."""

from __future__ import annotations

import itertools
import os
import socket

_CANDIDATES = itertools.cycle(range(21000 + os.getpid() % 400 * 20, 29_900, 4))
"""Below the RTP ports of telephones and the ephemeral ones, so that nothing takes one meanwhile;
four apart, because a SIP telephone takes its port for TLS beside the one it is given."""


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
