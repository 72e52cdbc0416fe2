"""Settings of text to speech."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    cache_dir: Path = Field(
        default=Path("var/speech"), description="Where spoken texts are kept, so that each is spoken once."
    )
    cache_bytes: int = Field(
        default=1 << 30, ge=1 << 16, description="Size the cache is trimmed to, longest unused first."
    )
    workers: int = Field(
        default=2, ge=1, le=64, description="Child processes that speak at once; started when needed."
    )
    max_characters: int = Field(
        default=4096, ge=1, le=65536, description="Longest text of one Say; longer ones fail with 13521."
    )
    order_seconds: float = Field(
        default=10.0, gt=0, le=120, description="How long speaking one text may take before it is given up."
    )
