"""What goes on with carriers beside calls: names are looked up, gateways watched, registrations kept."""

from __future__ import annotations

import asyncio

import structlog

from callrouter.ports import Clock, Failed, Metrics
from callrouter.ports.carriers import GatewayState, TrunkState
from callrouter.ports.carriers import RegistrationState as Registered
from callrouter.sip.endpoint import Endpoint
from callrouter.sip.plan import Destination, Plan
from callrouter.sip.protocol.admission import Admission
from callrouter.sip.protocol.agent import Agent
from callrouter.sip.protocol.grammar import write_host
from callrouter.sip.protocol.headers.retry_after import retry_after
from callrouter.sip.protocol.hop import Hop, default_port
from callrouter.sip.protocol.probe import Probe
from callrouter.sip.protocol.registration_client import Account, RegistrationClient, RegistrationState
from callrouter.sip.protocol.timers import MS
from callrouter.sip.resolver import Unresolvable
from callrouter.sip.settings import Settings, Trunk
from callrouter.sip.trunk_settings import Gateway
from callrouter.sip.trunks import Trunks, gateway_name, gateway_place, gateway_uri

log = structlog.get_logger(__name__)
_FAREWELL_LOOKS = 200
_LOOK_SECONDS = 0.005
_LOOK_AGAIN_SECONDS = 30
"""How often names are looked at anew; the resolver asks only when its answer has run out."""
_UNAVAILABLE = 503
_LONGEST_REST_SECONDS = 300


class Carriers:
    def __init__(
        self,
        settings: Settings,
        agent: Agent,
        trunks: Trunks,
        admission: Admission,
        endpoint: Endpoint,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._agent = agent
        self._trunks = trunks
        self._admission = admission
        self._endpoint = endpoint
        self._clock = clock
        self._metrics = metrics
        self._hops: dict[Gateway, tuple[Hop, ...]] = {}
        self._probes: list[Probe] = []
        self._registrations: list[RegistrationClient] = []
        self._gateway_states: dict[tuple[str, Gateway], tuple[bool, int, str]] = {}
        self._registration_states: dict[str, Registered] = {}

    def states(self) -> tuple[TrunkState, ...]:
        """How the carriers are doing, as of now."""
        return tuple(
            TrunkState(
                trunk.name,
                tuple(self._state_of(trunk, gateway) for gateway in trunk.all_gateways),
                self._registration_states.get(trunk.name),
            )
            for trunk in self._settings.trunks
        )

    def _state_of(self, trunk: Trunk, gateway: Gateway) -> GatewayState:
        is_up, since_ms, reason = self._gateway_states.get((trunk.name, gateway), (True, 0, ""))
        is_watched = trunk.health_seconds > 0
        where = (gateway.host, gateway.port, gateway.transport)
        return GatewayState(*where, is_watched, is_up, since_ms or self._clock.utc_ms(), reason)

    # -- life

    def start(self) -> None:
        """Begin; the listeners are bound."""
        if self._settings.trunks:
            self._endpoint.spawn(self._run())

    async def stop(self) -> None:
        """Take the registrations back, and wait a moment for the carriers to say that they know."""
        for probe in self._probes:
            probe.stop()
        for registration in self._registrations:
            registration.stop(self._clock.monotonic_ns())
        self._endpoint.pump()
        for _ in range(_FAREWELL_LOOKS):
            if not any(registration.is_leaving for registration in self._registrations):
                break
            await asyncio.sleep(_LOOK_SECONDS)

    async def _run(self) -> None:
        await self._look_up()
        for trunk in self._settings.trunks:
            self._watch(trunk)
            self._register(trunk)
        self._endpoint.pump()
        while True:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            await self._look_up()

    async def _look_up(self) -> None:
        families = self._agent.listeners.families
        resolver = self._endpoint.resolver
        for trunk in self._settings.trunks:
            for gateway in trunk.all_gateways:
                try:
                    found = await resolver.locate(gateway_place(gateway), families)
                    # Probes and registrations stay where they are while the servers are the same.
                    if set(found) != set(self._hops.get(gateway, ())):
                        self._hops[gateway] = found
                except Unresolvable as error:
                    # What was known before still counts: a server does not move because DNS fails.
                    log.warning("trunk_gateway_unknown", trunk=trunk.name, error=str(error))
            named = [hop.host for gateway in trunk.all_gateways for hop in self._hops.get(gateway, ())]
            self._admission.learn(trunk.name, named)

    def _servers(self, gateway: Gateway) -> tuple[Hop, ...]:
        return self._hops.get(gateway) or (_by_name(gateway),)

    # -- health

    def _watch(self, trunk: Trunk) -> None:
        for gateway in trunk.all_gateways:
            self._report(trunk, gateway, is_up=True)
            if trunk.health_seconds:
                probe = self._probe(trunk, gateway)
                self._probes.append(probe)
                probe.start(self._clock.monotonic_ns())

    def _probe(self, trunk: Trunk, gateway: Gateway) -> Probe:
        def changed(is_up: bool, why: str) -> None:
            event = "trunk_gateway_up" if is_up else "trunk_gateway_down"
            log.warning(event, trunk=trunk.name, gateway=gateway_name(gateway), reason=why)
            self._report(trunk, gateway, is_up=is_up, why=why)

        return Probe(
            self._agent,
            lambda: self._servers(gateway)[0],
            gateway_uri(trunk, gateway),
            int(trunk.health_seconds * 1000) * MS,
            changed,
        )

    def _report(self, trunk: Trunk, gateway: Gateway, *, is_up: bool, why: str = "") -> None:
        self._gateway_states[trunk.name, gateway] = (is_up, self._clock.utc_ms(), why)
        (self._trunks.down.discard if is_up else self._trunks.down.add)((trunk.name, gateway))
        self._metrics.gauge("trunk_gateway_up", is_up, trunk=trunk.name, gateway=gateway_name(gateway))

    def failed(self, plan: Plan, destination: Destination, failure: Failed, *, goes_on: bool) -> None:
        """A gateway could not connect a call, which `goes_on` to the next one or is over."""
        if plan.trunk is None:
            return
        name, gateway = plan.trunk.name, destination.gateway
        if goes_on:
            log.warning("trunk_failover", trunk=name, gateway=gateway, status=failure.status)
            self._metrics.count("trunk_failovers", trunk=name, gateway=gateway)
        seconds = retry_after(failure.headers.get("Retry-After"), _LONGEST_REST_SECONDS)
        if failure.status == _UNAVAILABLE and seconds:
            self._rest(name, gateway, seconds)

    def _rest(self, trunk: str, gateway: str, seconds: int) -> None:
        """It has asked to be left alone for so long (RFC 3261 §21.5.4)."""
        resting, until_ns = self._trunks.resting, self._clock.monotonic_ns() + seconds * 1000 * MS
        resting[trunk, gateway] = until_ns

        def over(now_ns: int) -> None:
            if resting.get((trunk, gateway), 0) <= now_ns:
                resting.pop((trunk, gateway), None)

        self._agent.timers.start(until_ns, over)

    # -- registrations

    def _register(self, trunk: Trunk) -> None:
        if not trunk.register_:
            return

        def changed(state: RegistrationState, detail: str) -> None:
            is_registered = state is RegistrationState.REGISTERED
            event = "trunk_registered" if is_registered else "trunk_registration_failed"
            (log.info if is_registered else log.warning)(event, trunk=trunk.name, detail=detail)
            self._metrics.gauge("trunk_registered", is_registered, trunk=trunk.name)
            self._registration_states[trunk.name] = Registered(state.value, self._clock.utc_ms(), detail)

        domain = trunk.domain or write_host(trunk.all_gateways[0].host)
        account = Account(domain, trunk.username, trunk.password.get_secret_value(), trunk.register_seconds)
        registration = RegistrationClient(
            self._agent,
            account,
            lambda: [hop for gateway in trunk.all_gateways for hop in self._servers(gateway)],
            changed,
        )
        self._metrics.gauge("trunk_registered", 0, trunk=trunk.name)
        self._registration_states[trunk.name] = Registered(
            RegistrationState.TRYING.value, self._clock.utc_ms(), ""
        )
        self._registrations.append(registration)
        registration.start(self._clock.monotonic_ns())


def _by_name(gateway: Gateway) -> Hop:
    """For the shell to look up when it sends."""
    transport = gateway.transport or "udp"
    return Hop(transport, gateway.host, gateway.port or default_port(transport), name=gateway.host)
