"""From what somebody wants to call to the plan of the call: users that registered here, SIP
addresses anywhere, numbers through a carrier."""

from __future__ import annotations

from callrouter.errors import Unroutable
from callrouter.ports import Clock
from callrouter.sip.plan import Destination, Plan
from callrouter.sip.protocol.addresses import may_send
from callrouter.sip.protocol.agent import Agent
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.hop import WEB_SOCKETS, family_of
from callrouter.sip.protocol.registration import Binding, Bindings
from callrouter.sip.protocol.uri import Uri
from callrouter.sip.resolver import Place
from callrouter.sip.settings import Settings
from callrouter.sip.trunks import Trunks


class NotRegistered(Unroutable):
    """A user of ours that no telephone has registered."""

    sip_status = 480


class NotToBeMentioned(Unroutable):
    """An address that nobody may have us call who merely names it."""

    sip_status = 403


class Planner:
    def __init__(
        self,
        settings: Settings,
        agent: Agent,
        trunks: Trunks,
        domains: Domains,
        bindings: Bindings,
        clock: Clock,
    ) -> None:
        self._users = {user.name: user for user in settings.registrar.users}
        self._transports = frozenset(listen.transport for listen in settings.listen)
        self._agent = agent
        self._trunks = trunks
        self._domains = domains
        self._bindings = bindings
        self._clock = clock

    def plan(self, target: str, trunk: str = "", mentioned_by: str = "") -> Plan:
        """`mentioned_by`: as in `OutgoingCall`.  Raises `Unroutable`."""
        scheme, colon, rest = target.partition(":")
        scheme = scheme.lower() if colon else ""
        if scheme == "client":
            return self._to_user(rest, target)
        if scheme in ("sip", "sips"):
            plan = self._to_address(target, mentioned_by)
            return self._trunks.by(trunk, plan) if trunk else plan
        number = rest.partition(";")[0] if scheme == "tel" else target
        return self._trunks.plan(number, trunk)

    def is_ours(self, target: str) -> bool:
        """An address that calls come to here, and of no user."""
        if target.startswith("client:"):
            return target.removeprefix("client:") not in self._users
        try:
            uri = Uri.parse(target)
        except ValueError:
            return False
        return self._domains.serves(uri) and not uri.has("maddr") and uri.plain_user not in self._users

    def _to_user(self, user: str, target: str) -> Plan:
        if user not in self._users:
            raise Unroutable(f"{target!r} cannot be called: there is no such user (`sip.registrar.users`)")
        groups = self._bindings.groups(user, self._clock.monotonic_ns())
        if not groups:
            raise NotRegistered(f"{target!r} cannot be called: nothing has registered as {user!r}")
        in_browser = self._users[user].browser
        return Plan(tuple(tuple(_destination(b, in_browser) for b in group) for group in groups), user=user)

    def _to_address(self, target: str, mentioned_by: str) -> Plan:
        try:
            uri = Uri.parse(target.partition("?")[0])
        except ValueError as error:
            raise Unroutable(f"{target!r} is not a SIP URI: {error}") from error
        if self._domains.serves(uri) and uri.plain_user in self._users:
            return self._to_user(uri.plain_user, target)
        host = uri.get("maddr") or uri.host
        # A name may say in the DNS by what transport it is reached; an address means the default.
        is_open = uri.scheme == "sip" and not uri.has("transport") and not family_of(host) and not uri.port
        transport = "" if is_open else uri.transport
        if transport and transport not in self._transports:
            raise Unroutable(
                f"{target!r} needs {transport.upper()}, and nothing listens there: add it to `sip.listen`"
            )
        if mentioned_by and not may_send(host, mentioned_by, self._agent.settings.mentionable):
            raise NotToBeMentioned(f"{target!r} is not called: {mentioned_by} may not point us there")
        place = Place(host, uri.port or 0, transport)
        return Plan(((Destination(str(uri), place, mentioned_by=mentioned_by),),))


def _destination(binding: Binding, in_browser: bool | None) -> Destination:
    """`in_browser` is what the operator says; None: browsers have nothing but WebSockets, which nobody
    else uses."""
    hop = binding.hop
    is_browser = hop.transport in WEB_SOCKETS if in_browser is None else in_browser
    return Destination(binding.request_uri, hop, binding.routes, is_browser=is_browser)
