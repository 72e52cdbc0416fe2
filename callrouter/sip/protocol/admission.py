"""Who may place a call with us: carriers by address or password, our users by password, and peers
whose address the configuration names.

Whoever claims to be one of our users has to prove it, from whatever address.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from callrouter.sip.protocol.addresses import Address, Network, address_of, is_listed
from callrouter.sip.protocol.digest_server import DigestServer, Judgement, Verdict
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.uri import Uri
from callrouter.sip.protocol.validate import Refusal

_NOBODY = Uri("sip")
_REMEMBERED = 4096


class OriginKind(enum.Enum):
    TRUNK = "trunk"
    USER = "user"
    PEER = "peer"
    """An address that the configuration allows to call."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who placed a call."""

    kind: OriginKind
    name: str = ""
    """Of the trunk or user."""


PEER = Origin(OriginKind.PEER)


@dataclass(frozen=True, slots=True)
class TrunkAccess:
    """How a carrier's calls are recognised."""

    name: str
    networks: tuple[Network, ...] = ()
    username: str = ""
    """"" = its address is proof enough."""
    password: str = ""


class Admission:
    def __init__(
        self,
        trunks: Sequence[TrunkAccess],
        users: Mapping[str, str],
        peers: Sequence[Network],
        digest: DigestServer,
        domains: Domains,
        *,
        challenge_strangers: bool,
    ) -> None:
        self._trunks = {trunk.name: trunk for trunk in trunks}
        self._by_username = {trunk.username: trunk for trunk in trunks if trunk.username}
        self._users = users
        self._peers = tuple(peers)
        self._digest = digest
        self._domains = domains
        self._challenges = challenge_strangers
        self._learnt: dict[Address | None, str] = {}
        self._carriers: dict[str, str] = {}
        """By address, as far as they were asked for."""

    def learn(self, trunk: str, addresses: Iterable[str]) -> None:
        """Addresses that the names of a trunk's gateways lead to now."""
        kept = {address: name for address, name in self._learnt.items() if name != trunk}
        self._learnt = kept | dict.fromkeys(map(address_of, addresses), trunk)
        self._carriers.clear()

    def judge(self, request: Request, source: Hop, now_ns: int) -> Origin | Refusal:
        """Who sent this INVITE, or what to answer whoever did."""
        judgement = self._digest.judge(request, self._password_of, now_ns)
        if judgement.verdict is not Verdict.ABSENT:
            return self._proved(judgement, now_ns)
        if self._claims_a_user(request):
            return self._asked(now_ns)
        trunk = self._trunk_at(source.host)
        if trunk is not None:
            return self._asked(now_ns) if trunk.username else Origin(OriginKind.TRUNK, trunk.name)
        if self._is_peer(source.host):
            return PEER
        # Whether there is a user of that name is nothing that a stranger may learn by asking.
        if self._challenges or (self._users and self._claims_our_domain(request)):
            return self._asked(now_ns)
        return Refusal(403, "")

    def _proved(self, judgement: Judgement, now_ns: int) -> Origin | Refusal:
        if judgement.verdict is Verdict.STALE:
            return self._asked(now_ns, stale=True)
        if judgement.verdict is Verdict.WRONG:
            return Refusal(403, "")
        trunk = self._by_username.get(judgement.username)
        if trunk is not None:
            return Origin(OriginKind.TRUNK, trunk.name)
        return Origin(OriginKind.USER, judgement.username)

    def _asked(self, now_ns: int, *, stale: bool = False) -> Refusal:
        return Refusal(401, "", self._digest.challenge(now_ns, stale=stale))

    def _password_of(self, username: str) -> str | None:
        trunk = self._by_username.get(username)
        return trunk.password if trunk is not None else self._users.get(username)

    def _claims_a_user(self, request: Request) -> bool:
        users = self._users
        return bool(users) and _sender(request).plain_user in users and self._claims_our_domain(request)

    def _claims_our_domain(self, request: Request) -> bool:
        return self._domains.has_host(_sender(request))

    def _trunk_at(self, host: str) -> TrunkAccess | None:
        name = self._learnt.get(address_of(host))
        if name is not None:
            return self._trunks[name]
        trunks = self._trunks.values()
        return next((trunk for trunk in trunks if is_listed(host, trunk.networks)), None)

    def carrier_at(self, host: str) -> str:
        """The trunk that calls from this address; "" = none."""
        name = self._carriers.get(host)
        if name is None:
            if len(self._carriers) >= _REMEMBERED:
                self._carriers.clear()
            trunk = self._trunk_at(host)
            name = self._carriers[host] = "" if trunk is None else trunk.name
        return name

    def is_carrier(self, host: str) -> bool:
        """A trunk calls from this address."""
        return bool(self.carrier_at(host))

    def _is_peer(self, host: str) -> bool:
        return is_listed(host, self._peers)


def _sender(request: Request) -> Uri:
    """What From says; nobody, where it cannot be read."""
    try:
        return request.sender.uri
    except ValueError:
        return _NOBODY
