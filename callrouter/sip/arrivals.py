"""What applications are shown of a call that comes in: the number it is for, and who calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from callrouter.ports import History
from callrouter.sip.protocol import history
from callrouter.sip.protocol.admission import OriginKind
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.grammar import displayable
from callrouter.sip.protocol.headers.address import Address
from callrouter.sip.protocol.identity import Caller, caller_of, in_e164, visible_headers
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.numbering import NumberFormat, owns
from callrouter.sip.protocol.uri import Uri, escape_user
from callrouter.sip.registrar_settings import User
from callrouter.sip.settings import Settings, Trunk
from callrouter.sip.trunks import AS_WRITTEN, Trunks

log = structlog.get_logger(__name__)


class NotOwned(Exception):
    """A carrier's call for a number that is not among its own."""


@dataclass(frozen=True, slots=True)
class Arrival:
    request_uri: str
    caller: Caller
    headers: Mapping[str, str]
    """Of the INVITE, canonical names, first value."""
    history: History = field(default_factory=History)
    registered_as: tuple[str, ...] = ()
    """Number and `client:` name of the user of ours who called."""


class Arrivals:
    def __init__(self, settings: Settings, trunks: Trunks, domains: Domains) -> None:
        self._trunks = trunks
        self._domains = domains
        self._users = {user.name: user for user in settings.registrar.users}
        self._trusts_peers = settings.trusted_peers

    def read(self, session: IncomingSession) -> Arrival:
        """Raises `NotOwned`."""
        invite, origin = session.invite, session.origin
        trunk = self._trunks.get(origin.name) if origin.kind is OriginKind.TRUNK else None
        if trunk is not None:
            return self._from_trunk(invite, trunk)
        is_trusted = origin.kind is OriginKind.PEER and self._trusts_peers
        called, headers = displayable(invite.uri), _headers(invite, AS_WRITTEN, is_trusted=is_trusted)
        past = history.read(invite, AS_WRITTEN, is_trusted=is_trusted)
        if origin.kind is OriginKind.USER:
            user = self._users[origin.name]
            return Arrival(called, self._caller(user, invite), headers, past, user.addresses)
        return Arrival(called, caller_of(invite, AS_WRITTEN, is_trusted=is_trusted), headers, past)

    def _from_trunk(self, invite: Request, trunk: Trunk) -> Arrival:
        numbers = self._trunks.format(trunk.name)
        called = Uri.parse(invite.uri)
        if trunk.register_ and called.plain_user == trunk.username:
            # Calls to a registration name its contact; the number that was dialled is in To.
            called = Address.parse(invite.get("To") or "").uri
        written = called.opaque if called.scheme == "tel" else called.plain_user
        if trunk.owned and not owns(trunk.owned, numbers.incoming(written.partition(";")[0])):
            raise NotOwned(f"{displayable(str(called))} is not among the numbers of trunk {trunk.name}")
        return Arrival(
            in_e164(called, numbers),
            caller_of(invite, numbers, is_trusted=trunk.trusted),
            _headers(invite, numbers, is_trusted=trunk.trusted),
            history.read(invite, numbers, is_trusted=trunk.trusted),
        )

    def _caller(self, user: User, invite: Request) -> Caller:
        """Whoever has the password of a user is that user, whatever From says."""
        uri = f"sip:{escape_user(user.number or user.name)}@{self._domains.main}"
        return Caller(uri, invite.sender.display_name)


def _headers(invite: Request, numbers: NumberFormat, *, is_trusted: bool) -> dict[str, str]:
    shown = {name: displayable(value) for name, value in invite.mapping().items()}
    return visible_headers(shown, numbers, is_trusted=is_trusted)
