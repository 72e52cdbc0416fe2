"""Settings of the REST listener."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """The HTTP listener that serves both APIs, metrics and health."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one.")
    head_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="Time a client has to send a complete request head, and how long an idle connection "
        "is kept.",
    )
    body_seconds: float = Field(
        default=15.0, gt=0, le=600, description="Time a client has to send a request's body."
    )
    body_bytes: int = Field(
        default=1 << 20, ge=1024, description="Largest request body; larger ones are answered 413."
    )
    failed_logins: int = Field(
        default=20,
        ge=1,
        description="Wrong passwords for one account from one address within a minute before it has to wait.",
    )
    open_recordings: bool = Field(
        default=True,
        description="Serve recorded audio to whoever knows its unguessable URL, as applications of the field "
        "expect; off, the account's credentials are needed.",
    )
