"""Settings of the HTTP client that fetches documents, media and delivers callbacks."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from callrouter.fetch.guard import HostPort


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_private: tuple[str, ...] = Field(
        default=(),
        description="Hosts on private or loopback addresses that may be fetched from, each as exact "
        "`host:port` the way URLs spell it. Everything else that is not public is refused.",
    )
    connect_timeout_ms: int = Field(
        default=5000,
        ge=100,
        le=10000,
        description="Time to connect, TLS included; `#ct=` in a URL overrides it.",
    )
    read_timeout_ms: int = Field(
        default=15000, ge=100, le=15000, description="Longest wait for the next bytes; `#rt=` overrides it."
    )
    total_timeout_ms: int = Field(
        default=15000,
        ge=100,
        le=15000,
        description="Deadline of a document or callback request, retries and redirects included; "
        "`#tt=` overrides it.",
    )
    document_bytes: int = Field(
        default=65536, ge=1024, description="Largest document, counted after decompression."
    )
    redirects: int = Field(default=10, ge=0, le=20, description="Redirects followed before giving up.")
    connections_per_host: int = Field(
        default=64, ge=1, description="Connections to one host and port; more requests to it wait their turn."
    )
    keepalive_seconds: float = Field(
        default=15.0, gt=0, description="How long an idle connection is kept for the next request."
    )
    resolver_threads: int = Field(
        default=16, ge=1, le=128, description="Name look-ups that may be under way at once."
    )
    verify_tls: bool = Field(default=True, description="Check certificates. Switch off only in a laboratory.")
    ca_file: Path | None = Field(
        default=None, description="PEM file with further certificate authorities to trust."
    )
    user_agent: str = Field(
        default="TwilioProxy/1.1", description="User-Agent sent; applications of the field look for this one."
    )
    media_cache_dir: Path = Field(
        default=Path("var/media"), description="Where fetched audio files are kept between calls."
    )
    media_cache_bytes: int = Field(
        default=1 << 30, ge=1 << 20, description="Size the audio cache is trimmed to, oldest use first."
    )
    media_file_bytes: int = Field(default=64 << 20, ge=1 << 10, description="Largest audio file accepted.")
    media_timeout_seconds: float = Field(
        default=30.0, gt=0, le=300, description="Deadline for fetching one audio file."
    )

    @field_validator("allow_private")
    @classmethod
    def _exact_host_and_port(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            HostPort.parse(value)
        return values
