"""What connections may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, octets and numbers of connections."""

    total: int = 1000
    per_address: int = 200
    head_seconds: float = 10.0
    """To complete what was begun: a message, a handshake."""
    connect_seconds: float = 4.0
    first_seconds: float = 30.0
    """Until the first message of a connection that somebody opened."""
    idle_seconds: float = 3600.0
    ping_seconds: float = 30.0
    """Between pings on a WebSocket that is quiet."""
    write_bytes: int = 1 << 20
    """Waiting for a peer that does not read."""
