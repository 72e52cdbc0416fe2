"""What an operator can say about strangers, scanners and floods."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.networks import IPvAnyNetwork

from callrouter.sip.protocol.shield import SCANNERS, ShieldSettings
from callrouter.sip.protocol.sources import Allowance


class Defence(BaseModel):
    """The `sip.defence` section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_second: float = Field(
        default=100.0,
        gt=0,
        le=100_000,
        description="Requests outside of calls, and calls refused, that one address may send for long.",
    )
    burst: int = Field(default=200, ge=1, le=1_000_000, description="How many of them it may send at once.")
    ban_seconds: int = Field(
        default=300, ge=1, le=86_400, description="How long an address that sent more is not listened to."
    )
    remembered_sources: int = Field(
        default=10_000, ge=100, le=10_000_000, description="Addresses to keep such accounts of."
    )
    scanners: tuple[str, ...] = Field(
        default=SCANNERS,
        description="Words in the User-Agent of programs that get no answer; empty = everybody gets one.",
    )
    calls_per_second: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        description="New calls to let in per second, the rest being answered 503; 0 = as many as the "
        "processor can carry, which is watched in either case.",
    )
    trusted: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        description="Networks that may ask as much as they like, as the addresses of trunks may.",
    )
    mentionable: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        description="Networks that a Contact, Record-Route or SDP may name although its sender is elsewhere: "
        "without this, nothing is sent to loopback, link-local or private addresses because somebody "
        "further away says so.",
    )

    @property
    def shield(self) -> ShieldSettings:
        allowance = Allowance(self.requests_per_second, self.burst, self.ban_seconds, self.remembered_sources)
        scanners = tuple(word.lower() for word in self.scanners)
        return ShieldSettings(allowance, scanners, self.calls_per_second)
