"""Limits of call control."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Every limit is finite by default; a call that reaches one ends with a cause that names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_calls: int = Field(
        default=2000,
        ge=1,
        description="Live calls above which a new INVITE is answered 503 with Retry-After.",
    )
    max_call_seconds: int = Field(
        default=14400, ge=1, description="Longest life of an answered call, in seconds."
    )
    max_chain: int = Field(
        default=8,
        ge=1,
        le=50,
        description="Numbers that one call may come through, as each dials the next one, here or by way of "
        "carriers; then it is a loop, and refused with 482.",
    )
    max_documents_per_minute: int = Field(
        default=50,
        ge=1,
        description="Documents one call may fetch within 60 seconds before it is ended as a loop.",
    )
    cleanup_seconds: float = Field(
        default=5.0,
        gt=0,
        description="How long an interrupted verb may take to release what it holds.",
    )
    drain_seconds: float = Field(
        default=5.0,
        ge=0,
        description="How long SIGTERM lets live calls go on before they are hung up.",
    )
    error_message: str = Field(
        default="An application error has occurred. Goodbye.",
        description="Spoken when a module fails and no fallback takes over.",
    )
    public_url: str = Field(
        default="",
        description="Base of URLs handed to applications (RecordingUrl); empty: the REST listener's address.",
    )
