"""From what somebody wants to call to where the INVITE goes."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote as percent_encode

from callrouter.errors import Unroutable
from callrouter.sip.protocol.auth import Credentials
from callrouter.sip.protocol.grammar import write_host
from callrouter.sip.protocol.hop import default_port
from callrouter.sip.protocol.uri import Uri
from callrouter.sip.settings import Settings, Trunk

_IN_USER = "+-_.!~*'()&=$,;?/#"
"""What a user part may hold unescaped (RFC 3261 §25.1), and `#`, which numbers have."""


@dataclass(frozen=True, slots=True)
class Destination:
    uri: str
    """Request-URI."""
    transport: str
    host: str
    """IP literal or name."""
    port: int
    domain: str = ""
    """For our From; "" = our own address."""
    credentials: Credentials | None = None


class Trunks:
    def __init__(self, settings: Settings) -> None:
        self._trunks = {trunk.name: trunk for trunk in settings.trunks}
        self._default = settings.default_trunk or next(iter(self._trunks), "")
        self._transports = {listen.transport for listen in settings.listen}

    def destination(self, target: str, trunk: str = "") -> Destination:
        """Raises `Unroutable`."""
        if target.startswith("tel:"):
            target = target[4:].partition(";")[0]
        elif target[:5].lower().startswith(("sip:", "sips:")):
            return self._direct(target)
        return self._through(self._trunk(target, trunk), target)

    def _direct(self, target: str) -> Destination:
        try:
            uri = Uri.parse(target.partition("?")[0])
        except ValueError as error:
            raise Unroutable(f"{target!r} is not a SIP URI: {error}") from error
        transport = uri.transport
        if transport not in self._transports:
            raise Unroutable(
                f"{target!r} needs {transport.upper()}, and nothing listens there: add it to `sip.listen`"
            )
        port = uri.port or default_port(transport)
        return Destination(str(uri), transport, uri.get("maddr") or uri.host, port)

    def _trunk(self, target: str, name: str) -> Trunk:
        trunk = self._trunks.get(name or self._default)
        if trunk is None:
            missing = f"there is no trunk {name!r}" if name else "no trunk is configured"
            raise Unroutable(f"{target!r} cannot be called: {missing} (`sip.trunks`)")
        return trunk

    @staticmethod
    def _through(trunk: Trunk, number: str) -> Destination:
        if not number or any(c <= " " for c in number):
            raise Unroutable(f"{number!r} is not a number that can be called")
        domain = trunk.domain or write_host(trunk.host)
        port = "" if trunk.domain or trunk.port == 5060 else f":{trunk.port}"
        transport = "" if trunk.transport == "udp" else f";transport={trunk.transport}"
        credentials = (
            Credentials(trunk.username, trunk.password.get_secret_value()) if trunk.username else None
        )
        uri = f"sip:{escape_user(number)}@{domain}{port}{transport}"
        return Destination(uri, trunk.transport, trunk.host, trunk.port, trunk.domain, credentials)


def escape_user(user: str) -> str:
    """`user` as a user part."""
    return percent_encode(user, safe=_IN_USER)
