"""Who may register and call, from the settings into the core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callrouter.sip.protocol.admission import Admission, TrunkAccess
from callrouter.sip.protocol.agent import Agent
from callrouter.sip.protocol.digest_server import DigestServer
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.registrar import Registrar, RegistrarRules
from callrouter.sip.protocol.registration import Bindings
from callrouter.sip.settings import Settings, Trunk


@dataclass(frozen=True, slots=True)
class Access:
    admission: Admission
    bindings: Bindings


def install_access(settings: Settings, agent: Agent, domains: Domains, token: Callable[[int], str]) -> Access:
    """Give `agent` its registrar and its rules of admission."""
    rules = settings.registrar
    passwords = {user.name: user.password.get_secret_value() for user in rules.users}
    # A key of this process: after a restart every nonce is stale, and clients answer the next one.
    digest = DigestServer(
        rules.realm,
        bytes.fromhex(token(32)),
        token,
        algorithms=rules.algorithms,
        nonce_lifetime_ms=rules.nonce_seconds * 1000,
    )
    registrar = Registrar(
        RegistrarRules(rules.min_seconds, rules.max_seconds, rules.default_seconds, rules.max_contacts),
        domains,
        digest,
        passwords,
    )
    admission = Admission(
        [_access_of(trunk) for trunk in settings.trunks],
        passwords,
        settings.peers,
        digest,
        domains,
        challenge_strangers=settings.strangers == "challenge",
    )
    agent.registrar, agent.admission = registrar, admission
    return Access(admission, registrar.bindings)


def _access_of(trunk: Trunk) -> TrunkAccess:
    password = trunk.inbound_password.get_secret_value()
    return TrunkAccess(trunk.name, trunk.networks, trunk.inbound_username, password)
