"""How usage is priced and shared."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Metering: currency, the platform's share, and how a running call is checkpointed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str = Field(
        default="USD",
        pattern=r"^[A-Z]{3}$",
        description="ISO 4217 code of accounts and plans that name none.",
    )
    platform_share_basis_points: int = Field(
        default=1000,
        ge=0,
        le=10_000,
        description="What the platform keeps of each charge, in hundredths of a percent; the module's owner "
        "gets the rest.",
    )
    heartbeat_seconds: float = Field(
        default=1.0,
        gt=0,
        le=10,
        description="How often live calls are checkpointed: after a crash, so much of a call is unbilled.",
    )
