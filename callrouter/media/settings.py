"""Settings of the RTP engine."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """`media:` in config.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bind_v4: IPv4Address | None = Field(
        IPv4Address("127.0.0.1"), description="IPv4 address that RTP is received on; empty for no IPv4 media."
    )
    bind_v6: IPv6Address | None = Field(
        None, description="IPv6 address that RTP is received on; empty for no IPv6 media."
    )
    advertise_v4: IPv4Address | None = Field(
        None, description="IPv4 address put into SDP where it is not the bound one (NAT, all interfaces)."
    )
    advertise_v6: IPv6Address | None = Field(
        None, description="IPv6 address put into SDP where it is not the bound one."
    )
    first_port: int = Field(
        20000,
        ge=1024,
        le=65534,
        description="First UDP port for RTP; each leg takes an even port and the next.",
    )
    last_port: int = Field(29999, ge=1025, le=65535, description="Last UDP port for RTP and RTCP.")
    threads: int = Field(
        2,
        ge=1,
        le=64,
        description="Media threads; one carries some 1,500 legs playing prompts. Legs are spread by what "
        "their codec costs: one in G.722 counts for 4 of G.711, one in Opus for 11.",
    )
    rtp_timeout_seconds: float = Field(
        60.0,
        gt=0,
        le=86400,
        description="No RTP for so long, on a leg that is not held, counts as a dead peer.",
    )
    rtcp_interval_seconds: float = Field(
        5.0, ge=0.1, le=600, description="Mean time between RTCP reports of a leg."
    )
    port_quarantine_seconds: float = Field(
        60.0, ge=0, le=3600, description="A freed port rests so long before another leg gets it."
    )
    prompt_cache_mb: int = Field(
        256,
        ge=1,
        le=65536,
        description="Memory for decoded prompts no call holds, long ones apart; a minute takes 1 MB.",
    )
    long_prompt_seconds: int = Field(
        120,
        ge=2,
        le=14_400,
        description="A prompt longer than this is kept in a file, and read from it as it is played.",
    )
    prompt_dir: Path = Field(
        Path("var/prompts"),
        description="Folder for the files of long prompts; they have no name in it and go with the process.",
    )
    long_prompt_cache_mb: int = Field(
        1024,
        ge=1,
        le=1_048_576,
        description="Disk space for long prompts no call holds; an hour takes 58 MB.",
    )
    max_transcoding: int = Field(
        200,
        ge=0,
        le=100_000,
        description="Legs that may be in G.722 or Opus and not be relayed unread, for each is decoded and "
        "encoded; calls beyond that are agreed on in G.711, or refused with 488 where they offer "
        "nothing else, and with 503 where `sip.codecs` has no G.711.",
    )
    decoder_threads: int = Field(2, ge=1, le=32, description="Audio files decoded at the same time.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.bind_v4 is None and self.bind_v6 is None:
            raise ValueError("media needs bind_v4, bind_v6 or both")
        first_pair = self.first_port + self.first_port % 2
        if first_pair + 1 > self.last_port:
            raise ValueError(
                f"first_port {self.first_port} to last_port {self.last_port} holds no pair of ports: "
                "make last_port larger"
            )
        for family in ("v4", "v6"):
            bound = getattr(self, f"bind_{family}")
            if bound is not None and bound.is_unspecified and getattr(self, f"advertise_{family}") is None:
                raise ValueError(
                    f"bind_{family} {bound} is every address of the machine: "
                    f"set advertise_{family} to the one that callers reach it by"
                )
        return self

    def has(self, family: Literal[4, 6]) -> bool:
        """There is an address of that family to receive audio on."""
        return (self.bind_v4 if family == 4 else self.bind_v6) is not None

    def near(self, family: Literal[4, 6]) -> str:
        """The address of that family at which this machine reaches itself."""
        bound = self.bind_v4 if family == 4 else self.bind_v6
        if bound is not None and bound.is_unspecified:
            return "127.0.0.1" if family == 4 else "::1"
        return str(bound)

    def advertised(self, family: Literal[4, 6]) -> str:
        """The address of that family to put into SDP."""
        if family == 4:
            return str(self.advertise_v4 or self.bind_v4)
        return str(self.advertise_v6 or self.bind_v6)
