"""Carriers: which one a number goes through, by which of its gateways, written how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from callrouter.errors import Unroutable
from callrouter.sip.plan import Destination, Plan
from callrouter.sip.protocol.auth import Credentials
from callrouter.sip.protocol.grammar import write_host
from callrouter.sip.protocol.numbering import NumberFormat
from callrouter.sip.protocol.selection import in_order
from callrouter.sip.protocol.timers import MS
from callrouter.sip.protocol.uri import escape_user
from callrouter.sip.resolver import Place
from callrouter.sip.settings import Settings, Trunk
from callrouter.sip.trunk_settings import Gateway

AS_WRITTEN = NumberFormat()


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A gateway for the order of a call: those that are down or resting come behind all others."""

    gateway: Gateway
    is_up: bool

    @property
    def priority(self) -> int:
        return self.gateway.priority if self.is_up else self.gateway.priority + (1 << 16)

    @property
    def weight(self) -> int:
        return self.gateway.weight


class Trunks:
    def __init__(self, settings: Settings, token: Callable[[int], str]) -> None:
        self._trunks = {trunk.name: trunk for trunk in settings.trunks}
        callable_trunks = (trunk.name for trunk in settings.trunks if trunk.all_gateways)
        self._default = settings.default_trunk or next(callable_trunks, "")
        self._formats = {trunk.name: trunk.numbers.format() for trunk in settings.trunks}
        self._token = token
        self.down: set[tuple[str, Gateway]] = set()
        """Gateways, by trunk, that are known not to answer."""
        self.resting: dict[tuple[str, str], int] = {}
        """Trunk and gateway, as figures name it, that asked to be left alone, until when."""

    def get(self, name: str) -> Trunk | None:
        return self._trunks.get(name)

    def format(self, name: str) -> NumberFormat:
        return self._formats.get(name, AS_WRITTEN)

    def plan(self, number: str, name: str = "") -> Plan:
        """A call to `number` through the trunk `name`, or the default one.  Raises `Unroutable`."""
        trunk = self._trunks.get(name or self._default)
        if trunk is None:
            missing = f"there is no trunk {name!r}" if name else "no trunk is configured"
            raise Unroutable(f"{number!r} cannot be called: {missing} (`sip.trunks`)")
        if not trunk.all_gateways:
            raise Unroutable(f"{number!r} cannot be called: trunk {name!r} has no gateway to call")
        if not number or any(c <= " " for c in number):
            raise Unroutable(f"{number!r} is not a number that can be called")
        written = escape_user(self._formats[trunk.name].outgoing(number))
        ranked = [_Ranked(g, self._takes_calls(trunk.name, g)) for g in trunk.all_gateways]
        ordered = [entry.gateway for entry in in_order(ranked, self._token)]
        return Plan(
            groups=tuple((_destination(trunk, gateway, written),) for gateway in ordered),
            domain=trunk.domain,
            credentials=credentials_of(trunk),
            trunk=trunk,
            patience_ns=int(trunk.try_seconds * 1000) * MS,
        )

    def _takes_calls(self, trunk: str, gateway: Gateway) -> bool:
        return (trunk, gateway) not in self.down and (trunk, gateway_name(gateway)) not in self.resting

    def by(self, name: str, plan: Plan) -> Plan:
        """The same, as a call through the trunk `name`: to an address that it has named itself."""
        trunk = self._trunks[name]
        return replace(plan, domain=trunk.domain, credentials=credentials_of(trunk), trunk=trunk)


def gateway_place(gateway: Gateway) -> Place:
    return Place(gateway.host, gateway.port, gateway.transport)


def _destination(trunk: Trunk, gateway: Gateway, user: str) -> Destination:
    uri = gateway_uri(trunk, gateway, user)
    return Destination(uri, gateway_place(gateway), gateway=gateway_name(gateway))


def gateway_name(gateway: Gateway) -> str:
    """For figures and logs."""
    return f"{gateway.host}:{gateway.port}" if gateway.port else gateway.host


def gateway_uri(trunk: Trunk, gateway: Gateway, user: str = "") -> str:
    """Request-URI of what goes to a gateway; `user` is escaped already."""
    domain = trunk.domain or write_host(gateway.host)
    port = "" if trunk.domain or gateway.port in (0, 5060) else f":{gateway.port}"
    transport = "" if gateway.transport in ("", "udp") else f";transport={gateway.transport}"
    at = f"{user}@" if user else ""
    return f"sip:{at}{domain}{port}{transport}"


def credentials_of(trunk: Trunk) -> Credentials | None:
    return Credentials(trunk.username, trunk.password.get_secret_value()) if trunk.username else None
