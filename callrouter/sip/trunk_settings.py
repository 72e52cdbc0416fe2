"""What an operator can say about carriers."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic.networks import IPvAnyNetwork

from callrouter.sip.passing_settings import PassedMedia
from callrouter.sip.protocol.crypto import SrtpPolicy
from callrouter.sip.protocol.identity import IdentityHeader
from callrouter.sip.protocol.numbering import Bare, NumberFormat, Rewrite, Style
from callrouter.sip.redirect_settings import Redirects

GatewayTransport = Literal["", "udp", "tcp", "tls"]
_TRANSPORT = (
    "Transport to reach it by; empty = what its name says in the DNS (NAPTR, SRV), else `udp`."  # RFC 3263
)


class Gateway(BaseModel):
    """One server of a carrier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, description="IP address or name.")
    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port; 0 = what the name says in the DNS (SRV), else the transport's own.",
    )
    transport: GatewayTransport = Field(default="", description=_TRANSPORT)
    priority: int = Field(
        default=0, ge=0, le=65535, description="Lower ones are tried first; equal ones share calls by weight."
    )
    weight: int = Field(
        default=1, ge=0, le=65535, description="Share of the calls among gateways of equal priority."
    )


class PrefixRule(BaseModel):
    """Numbers that start with `prefix` get `replacement` instead."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = Field(description="What a number starts with.")
    replacement: str = Field(default="", description="What it starts with then.")


class Numbers(BaseModel):
    """How a carrier writes telephone numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    style: Style = Field(
        default=Style.E164,
        description="How it wants them: `e164` (+44207…), `digits` (44207…), `national` (0207…, others 001…) "
        "or `international` (0044207…).",
    )
    country_code: str = Field(
        default="", pattern=r"^[0-9]{0,3}$", description="Its country, for national numbers: `44`."
    )
    national_prefix: str = Field(
        default="0", pattern=r"^[0-9]*$", description="What national numbers start with."
    )
    international_prefix: str = Field(
        default="00", pattern=r"^[0-9]*$", description="What numbers of other countries start with."
    )
    bare: Bare = Field(
        default=Bare.KEPT,
        description="What digits without prefix are in calls from it: `national`, `international`, or `kept` "
        "as they are.",
    )
    rules_in: tuple[PrefixRule, ...] = Field(
        default=(), description="Applied first to numbers in calls from it; the first that fits."
    )
    rules_out: tuple[PrefixRule, ...] = Field(
        default=(), description="Applied last to numbers in calls to it; the first that fits."
    )

    @model_validator(mode="after")
    def _country_is_known(self) -> Numbers:
        if not self.country_code and (self.style is Style.NATIONAL or self.bare is Bare.NATIONAL):
            raise ValueError("national numbers need a country_code, such as 44")
        return self

    def format(self) -> NumberFormat:
        return NumberFormat(
            self.style,
            self.country_code,
            self.national_prefix,
            self.international_prefix,
            self.bare,
            tuple(Rewrite(r.prefix, r.replacement) for r in self.rules_in),
            tuple(Rewrite(r.prefix, r.replacement) for r in self.rules_out),
        )


class Trunk(BaseModel):
    """A carrier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, description="How the rest of the configuration names it.")
    host: str = Field(default="", description="IP address or name of its server, where it has just one.")
    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of that server; 0 = what the name says in the DNS (SRV), else the transport's own.",
    )
    transport: GatewayTransport = Field(default="", description=_TRANSPORT)
    gateways: tuple[Gateway, ...] = Field(
        default=(), description="Its servers, where it has several; instead of `host`."
    )
    domain: str = Field(
        default="", description="Domain for From, To and the Request-URI, when it is not the gateway's host."
    )
    username: str = Field(default="", description="User name for its digest challenges; empty = none.")
    password: SecretStr = Field(default=SecretStr(""), description="Password for its digest challenges.")
    register_: bool = Field(
        default=False,
        alias="register",
        description="true: register `username` with it, so that its calls find us.",
    )
    register_seconds: int = Field(
        default=300, ge=30, le=86400, description="How long to register for; it may grant less."
    )
    health_seconds: float = Field(
        default=0,
        ge=0,
        le=3600,
        description="How often each gateway is asked with OPTIONS whether it is there; 0 = never. One that "
        "is not gets no calls while there is another.",
    )
    try_seconds: float = Field(
        default=5,
        gt=0,
        le=64,
        description="How long a gateway may stay silent before a call goes to the next one.",
    )
    sources: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        description="Addresses and networks its calls come from, beside those of its gateways.",
    )
    inbound_username: str = Field(
        default="",
        description="Name its calls have to prove by digest; empty = its address is proof enough.",
    )
    inbound_password: SecretStr = Field(default=SecretStr(""), description="The password for that.")
    owned: tuple[str, ...] = Field(
        default=(),
        description="Numbers its calls may be for, in E.164, `*` at the end for all that begin so; "
        "empty = any.",
    )
    srtp: SrtpPolicy | None = Field(
        default=None,
        description="Whether its calls' audio is protected: `off`, `optional` or `required`; empty = "
        "`sip.srtp`.",
    )
    passes: tuple[PassedMedia, ...] | None = Field(
        default=None,
        description="What its calls may exchange beside their audio, unread: `video`, `t38`; empty = "
        "`sip.passes`.",
    )
    numbers: Numbers = Field(default=Numbers(), description="How it writes telephone numbers.")
    identity: IdentityHeader = Field(
        default=IdentityHeader.NONE,
        description="Header in which it reads who calls: `from`, `p-asserted-identity`, "
        "`p-preferred-identity` or `remote-party-id`.",
    )
    transfers: bool = Field(
        default=False,
        description="Whether the parties of its calls may transfer whom they talk to (REFER), at the cost of "
        "the account whose call it is.",
    )
    redirects: Redirects | None = Field(
        default=None,
        description="Which of its redirections (3xx) are followed: `off`, `own` (to its own servers) or "
        "`anywhere`; empty = `sip.redirects`.",
    )
    diversion: bool = Field(
        default=False,
        description="true: calls that a number forwards tell it that number, in Diversion.",
    )
    trusted: bool = Field(
        default=True,
        description="true: its P-Asserted-Identity, Remote-Party-ID, Privacy and Diversion are believed, and "
        "it is told who calls also where the callee is not.",
    )

    @field_validator("owned")
    @classmethod
    def _are_e164(cls, owned: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in owned:
            digits = pattern.removesuffix("*")
            if not (digits.startswith("+") and digits[1:].isdecimal()):
                raise ValueError(f"{pattern!r} is no number such as +442071838750, or +4420*")
        return owned

    @model_validator(mode="after")
    def _fits_together(self) -> Trunk:
        if self.host and self.gateways:
            raise ValueError("give `host` or `gateways`, not both")
        if not (self.host or self.gateways or self.sources or self.inbound_username):
            raise ValueError("a trunk needs `host` or `gateways` to call, or `sources` to be called from")
        if self.register_ and not (self.username and self.all_gateways):
            raise ValueError("`register` needs a username, and a gateway to register with")
        if bool(self.inbound_username) != bool(self.inbound_password.get_secret_value()):
            raise ValueError("inbound_username and inbound_password go together")
        return self

    @property
    def all_gateways(self) -> tuple[Gateway, ...]:
        if self.host:
            return (Gateway(host=self.host, port=self.port, transport=self.transport),)
        return self.gateways

    @property
    def hosts(self) -> frozenset[str]:
        """What its own addresses name: its servers and its domain, in lower case."""
        named = (self.domain, *(gateway.host for gateway in self.all_gateways))
        return frozenset(host.lower() for host in named if host)

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Where its calls come from, as far as that is known without asking the DNS."""
        literal = []
        for gateway in self.all_gateways:
            try:
                literal.append(ipaddress.ip_network(gateway.host))
            except ValueError:
                continue  # a name: the resolver knows
        return (*self.sources, *literal)
