"""Which SIP addresses are ours to serve."""

from __future__ import annotations

from collections.abc import Sequence

from callrouter.sip.protocol.hop import Listener
from callrouter.sip.protocol.uri import Uri


class Domains:
    """Configured names, and the addresses we listen on."""

    def __init__(self, names: Sequence[str], listeners: Sequence[Listener]) -> None:
        self._names = tuple(name.lower() for name in names)
        self._listeners = listeners
        """Filled when the listeners are bound."""

    @property
    def main(self) -> str:
        """The one to put into addresses of our users."""
        if self._names:
            return self._names[0]
        return self._listeners[0].host if self._listeners else "invalid.invalid"

    def has_host(self, uri: Uri) -> bool:
        """A URI of ours by its host, whatever the port: what From and To say."""
        host = uri.host.lower()
        return host in self._names or any(host == listener.host.lower() for listener in self._listeners)

    def serves(self, uri: Uri) -> bool:
        """A request to this URI comes to us."""
        if not uri.is_sip:
            return False
        host, port = uri.host.lower(), uri.port or (5061 if uri.scheme == "sips" else 5060)
        if host in self._names and (uri.port is None or any(x.port == port for x in self._listeners)):
            return True
        return any(host == x.host.lower() and port == x.port for x in self._listeners)

    def may_register(self, uri: Uri) -> bool:
        """Without configured names whatever a telephone calls us is right."""
        return not self._names or self.has_host(uri)
