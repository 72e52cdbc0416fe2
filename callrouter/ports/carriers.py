"""How the carriers are doing, for operators to see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatewayState:
    """One server of a carrier."""

    host: str
    port: int
    """0: what the DNS says, or the transport's own."""
    transport: str
    """"": what the DNS says."""
    is_watched: bool
    """It is asked with OPTIONS; otherwise nothing is known against it."""
    is_up: bool
    since_ms: int
    """UTC of the last change."""
    reason: str
    """What changed it; "" where nothing has."""


@dataclass(frozen=True, slots=True)
class RegistrationState:
    """Of ours with a carrier."""

    state: str
    """`trying`, `registered` or `failed`, after which it is tried again."""
    since_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class TrunkState:
    name: str
    gateways: tuple[GatewayState, ...]
    registration: RegistrationState | None
    """None: it is not registered with."""
