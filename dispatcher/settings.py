"""Settings of the dispatcher."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    default_region: str | None = Field(
        default=None,
        pattern=r"^[A-Z]{2}$",
        description="Country (ISO 3166, two letters) of numbers that come without an international prefix.",
    )
    emergency_numbers: tuple[str, ...] = Field(
        default=("112", "911", "999"),
        description="Numbers that may always be called: no policy rule applies to them.",
    )
