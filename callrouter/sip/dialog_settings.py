"""What an operator can say about how long calls and their parts may take."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Dialogs(BaseModel):
    """The `sip.dialogs` section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    session_seconds: int = Field(
        default=1800,
        ge=0,
        le=86400,
        description="Longest time that an answered call may stay up without a sign of life from both ends "
        "(RFC 4028); 0 leaves it to the other end.",
    )
    min_session_seconds: int = Field(
        default=90,
        ge=90,
        le=86400,
        description="Shortest such time that others may ask for; less is answered 422.",
    )
    unanswered_seconds: int = Field(
        default=660,
        ge=180,
        le=86400,
        description="How long an outgoing call may ring after its last sign of life before it is cancelled "
        "(timer C); longer than any time-out a Dial may have.",
    )
