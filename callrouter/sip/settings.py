"""What an operator can say about SIP."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.networks import IPvAnyNetwork

from callrouter.sip.defence_settings import Defence
from callrouter.sip.dialog_settings import Dialogs
from callrouter.sip.limits import Limits
from callrouter.sip.passing_settings import PassedMedia
from callrouter.sip.protocol.crypto import SrtpPolicy
from callrouter.sip.protocol.grammar import write_host
from callrouter.sip.protocol.noise import NoisePolicy
from callrouter.sip.redirect_settings import Redirects
from callrouter.sip.registrar_settings import RegistrarSettings
from callrouter.sip.resolver import split_server
from callrouter.sip.tls_settings import Tls
from callrouter.sip.trunk_settings import Trunk as Trunk

CodecName = Literal["PCMU", "PCMA", "G722", "OPUS"]
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.\-]*[A-Za-z0-9_])?")


class Listen(BaseModel):
    """One address that takes SIP."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="IP address to bind; IPv6 without brackets.")
    port: int = Field(default=5060, ge=0, le=65535, description="Port to bind; 0 takes any free one.")
    transport: Literal["udp", "tcp", "tls", "ws", "wss"] = Field(
        default="udp",
        description="Transport protocol; `ws` and `wss` are WebSockets, for phones in browsers.",
    )
    client_certificates: Literal["none", "optional", "required"] = Field(
        default="none", description="Whether TLS clients have to show a certificate that is believed."
    )
    origins: tuple[str, ...] = Field(
        default=(),
        description="Web pages that may connect by WebSocket, as `https://phone.example.com`; empty = all.",
    )
    advertise: str = Field(
        default="",
        description="Address or name that peers reach this listener by, when it is not `host`: behind NAT, "
        "and whenever `host` is a wildcard.",
    )
    advertise_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port that peers reach, when it is not the bound one.",
    )

    srtp: SrtpPolicy | None = Field(
        default=None,
        description="Whether audio of calls to it is protected: `off`, `optional` or `required`; empty = "
        "`sip.srtp`.",
    )

    @field_validator("advertise")
    @classmethod
    def _can_be_reached(cls, advertise: str) -> str:
        if not advertise:
            return advertise
        try:
            address = ipaddress.ip_address(advertise)
        except ValueError:
            if _NAME.fullmatch(advertise) is None:
                raise ValueError(
                    f"{advertise!r} is neither an IP address nor a name: a port goes into "
                    "`advertise_port`, and IPv6 addresses need no brackets"
                ) from None
        else:
            if address.is_unspecified or address.is_multicast:
                raise ValueError(f"peers cannot reach {advertise}: write the address that they send to")
        return advertise

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Listen:
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            raise ValueError(
                f"host {self.host!r} is not an IP address: write the address of the interface to bind"
            ) from None
        if address.is_unspecified and not self.advertise:
            raise ValueError(
                f"{self.transport} {write_host(self.host)}:{self.port} listens on every interface, so the "
                "address to put into SIP messages is ambiguous: set `advertise` to the address that peers "
                "reach, or `host` to one interface"
            )
        return self


class Settings(BaseModel):
    """The `sip:` section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: tuple[Listen, ...] = Field(
        default=(Listen(), Listen(transport="tcp")),
        min_length=1,
        description="Addresses that take SIP, the first of a transport being the one calls are placed from.",
    )
    codecs: tuple[CodecName, ...] = Field(
        default=("PCMU", "PCMA"),
        min_length=1,
        description="Codecs to agree on (PCMU, PCMA, G722, OPUS), to be offered best first; incoming offers "
        "keep their caller's order. G722 and OPUS cost processor time wherever both ends of a call are not "
        "in the same one: see `media.max_transcoding`.",
    )
    srtp: SrtpPolicy = Field(
        default=SrtpPolicy.OPTIONAL,
        description="Whether audio is protected by SRTP with keys in SIP (SDES): `off`; `optional`, where "
        "the far end offers it, and offered by us in calls placed by TLS, where nobody on the way can read "
        "the keys; `required`: calls without it are refused with 488.",
    )
    redirects: Redirects = Field(
        default=Redirects.OWN,
        description="Which redirections of a callee (3xx) are followed: `off`; `own`, a carrier to its own "
        "servers, an address to its own host, a user to users and numbers here; or `anywhere`, but to no "
        "address that may not be mentioned to us.",
    )
    comfort_noise: NoisePolicy = Field(
        default=NoisePolicy.MIRROR,
        description="Whether far ends may describe their silence instead of sending it (RFC 3389): `mirror`, "
        "where they offer it; `offer`, where they agree, and we offer it too; `off`. It is passed on between "
        "connected parties where both may, and made into sound for whoever else hears or records it.",
    )
    passes: tuple[PassedMedia, ...] = Field(
        default=("video", "t38"),
        description="What two connected calls may exchange through us beside their audio, unread: `video`, "
        "`t38` (fax); `[]` = nothing. Everything else is declined, as are these while a document runs.",
    )
    user_agent: str = Field(
        default="callrouter", pattern=r"^[ -~]+$", description="What User-Agent headers say."
    )
    answers_without_rport: Literal["source", "via"] = Field(
        default="source",
        description="Port of answers by UDP to whoever does not ask for `rport`: the one the request came "
        "from, or the one that its Via names (RFC 3261 §18.2.2), unless that shows a NAT.",
    )
    trunks: tuple[Trunk, ...] = Field(default=(), description="Carriers, for calls to and from numbers.")
    default_trunk: str = Field(
        default="", description="Trunk for calls that name none; empty = the first one."
    )
    registrar: RegistrarSettings = Field(
        default=RegistrarSettings(), description="Telephones and clients that register here."
    )
    peers: tuple[IPvAnyNetwork, ...] = Field(
        default=_LOOPBACK,
        description="Addresses and networks that may call without being a trunk or a user.",
    )
    trusted_peers: bool = Field(
        default=False,
        description="true: what peers say in P-Asserted-Identity, Remote-Party-ID, Privacy and Diversion is "
        "believed.",
    )
    strangers: Literal["challenge", "refuse"] = Field(
        default="challenge",
        description="What calls from anywhere else get: `challenge` (401), which lets users and carriers "
        "prove who they are from any address, or `refuse` (403).",
    )
    dns_servers: tuple[str, ...] = Field(
        default=(), description="DNS servers to ask, as `address` or `address:port`; empty = the system's."
    )
    defence: Defence = Field(default=Defence(), description="Against strangers, scanners and floods.")
    dialogs: Dialogs = Field(default=Dialogs(), description="How long calls and their parts may take.")
    tls: Tls = Field(default=Tls(), description="Certificates for `tls` and `wss`.")
    head_timeout_seconds: float = Field(
        default=10.0,
        gt=0,
        le=60,
        description="How long a connection may take to complete a message or a handshake it began.",
    )
    first_message_seconds: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="How long a new connection may stay without its first message.",
    )
    idle_seconds: float = Field(
        default=3600.0,
        gt=0,
        le=86400,
        description="How long a connection may be quiet, unless a call came by it.",
    )
    ping_seconds: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="How often a quiet WebSocket is pinged; one that did not answer the last ping is closed.",
    )
    connect_seconds: float = Field(
        default=4.0, gt=0, le=30, description="How long a connection of ours may take to be accepted."
    )
    max_connections: int = Field(
        default=1000, ge=1, le=100_000, description="Open connections, incoming and outgoing together."
    )
    max_connections_per_address: int = Field(
        default=200, ge=1, le=100_000, description="Connections from one address, with those in a handshake."
    )
    max_unread_bytes: int = Field(
        default=1 << 20,
        ge=1 << 16,
        le=1 << 26,
        description="What may wait to be read by the other end of a connection before it is closed.",
    )

    trace_calls: int = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        description="Calls whose SIP messages are kept in memory, to be shown by `callrouter tail` and "
        "`/v1/sessions/{sid}/sip`; 0 = none.",
    )
    trace_bytes: int = Field(
        default=32 << 20, ge=1 << 20, le=1 << 34, description="Memory for them altogether."
    )
    trace_call_bytes: int = Field(
        default=256 << 10, ge=1 << 12, le=1 << 24, description="Memory for those of one call."
    )

    @property
    def limits(self) -> Limits:
        return Limits(
            total=self.max_connections,
            per_address=self.max_connections_per_address,
            head_seconds=self.head_timeout_seconds,
            connect_seconds=self.connect_seconds,
            first_seconds=self.first_message_seconds,
            idle_seconds=self.idle_seconds,
            ping_seconds=self.ping_seconds,
            write_bytes=self.max_unread_bytes,
        )

    @field_validator("dns_servers")
    @classmethod
    def _are_addresses(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            split_server(server)
        return servers

    @model_validator(mode="after")
    def _certificates_fit(self) -> Settings:
        for listen in self.listen:
            if listen.transport in ("tls", "wss") and not self.tls.certificates:
                raise ValueError(
                    f"{listen.transport} {write_host(listen.host)}:{listen.port} needs a certificate "
                    "to show: set `tls.certificates`"
                )
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> Settings:
        names = [trunk.name for trunk in self.trunks]
        if len(set(names)) != len(names):
            raise ValueError("two trunks have the same name")
        inbound = [trunk.inbound_username for trunk in self.trunks if trunk.inbound_username]
        taken = [*inbound, *(user.name for user in self.registrar.users)]
        if len(set(taken)) != len(taken):
            raise ValueError("an inbound_username is another trunk's or a registered user's as well")
        if self.default_trunk and self.default_trunk not in names:
            raise ValueError(
                f"default_trunk {self.default_trunk!r} is not among the trunks ({', '.join(names) or 'none'})"
            )
        return self
