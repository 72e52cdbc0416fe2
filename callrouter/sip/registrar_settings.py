"""What an operator can say about the users that register here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

Algorithm = Literal["SHA-256", "MD5"]


class User(BaseModel):
    """A telephone or client that registers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[^\s\x00-\x1f\x7f<>\"@:;?]{1,128}$",
        description="User name: `alice` is called as `client:alice` and as `sip:alice@` one of the domains.",
    )
    password: SecretStr = Field(
        min_length=1, description="Its password. Best taken from the environment: `${NAME}`."
    )
    number: str = Field(
        default="",
        pattern=r"^(\+[1-9][0-9]{1,14})?$",
        description="Number its calls are shown with, in E.164; by default its SIP address.",
    )
    browser: bool | None = Field(
        default=None,
        description="Whether calls to it are offered what phones in browsers need (ICE, DTLS-SRTP) and "
        "telephones do not understand; by default where it registered by WebSocket.",
    )
    transfers: bool = Field(
        default=True,
        description="Whether its telephones may transfer whom they talk to (REFER); the account whose call "
        "it is pays for the new leg.",
    )

    @property
    def addresses(self) -> tuple[str, ...]:
        """What its calls are from, the best first."""
        return ((self.number,) if self.number else ()) + (f"client:{self.name}",)


class RegistrarSettings(BaseModel):
    """The `sip.registrar` section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: tuple[User, ...] = Field(default=(), description="Who may register and call.")
    domains: tuple[str, ...] = Field(
        default=(),
        description="Domains of the users' addresses, the first being the one that is shown; empty = the "
        "addresses of `sip.listen`, whatever name a telephone knows them by.",
    )
    realm: str = Field(
        default="callrouter",
        pattern=r"^[ !#-\[\]-~]{1,128}$",
        description="Realm of digest challenges. Telephones may store their passwords by it.",
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=("MD5",),
        min_length=1,
        description="Digest algorithms to offer, the preferred one first: `[SHA-256, MD5]` where every "
        "telephone and carrier knows to choose; older ones fail at a challenge that is not MD5 alone.",
    )
    nonce_seconds: int = Field(
        default=300, ge=10, le=86400, description="How long a challenge can be answered."
    )
    min_seconds: int = Field(
        default=60, ge=1, le=86400, description="Shortest registration; shorter ones are refused with 423."
    )
    default_seconds: int = Field(
        default=3600, ge=1, le=86400, description="Length of a registration that names none."
    )
    max_seconds: int = Field(
        default=7200, ge=1, le=86400, description="Longest registration; longer ones are cut to it."
    )
    max_contacts: int = Field(
        default=10, ge=1, le=100, description="Contacts of one user; the one renewed longest ago gives way."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> RegistrarSettings:
        names = [user.name for user in self.users]
        if len(set(names)) != len(names):
            raise ValueError("two users have the same name")
        if not self.min_seconds <= self.default_seconds <= self.max_seconds:
            raise ValueError("expected min_seconds <= default_seconds <= max_seconds")
        return self
