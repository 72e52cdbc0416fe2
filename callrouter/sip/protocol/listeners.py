"""The addresses that we are reached at, as messages of ours name them."""

from __future__ import annotations

from callrouter.sip.protocol.grammar import Fields, write_host
from callrouter.sip.protocol.hop import Hop, Listener, family_of
from callrouter.sip.protocol.methods import ALLOWED, SUPPORTED


class Listeners(list[Listener]):
    """In the order of the configuration, which `Hop.listener` counts in."""

    @property
    def families(self) -> frozenset[int]:
        """That can be reached from here."""
        return frozenset().union(*(listener.families for listener in self))

    def via(self, hop: Hop, branch: str) -> str:
        """Via of a request of ours to `hop`."""
        listener = self.of(hop)
        # Requests of the other end may come back by a TLS connection of ours (RFC 5923 §6).
        alias = ";alias" if hop.transport == "tls" else ""
        return (
            f"SIP/2.0/{hop.transport.upper()} {write_host(listener.host)}:{listener.port}"
            f";branch={branch}{alias};rport"
        )

    def contact(self, hop: Hop, user: str, *, is_secure: bool = False) -> tuple[str, str]:
        """Where requests of the dialog reach us; `is_secure`: by TLS all the way, as who began it
        asked (RFC 3261 §12.1.1)."""
        listener = self.of(hop)
        at = f"{user}@" if user else ""
        scheme = "sips" if is_secure else "sip"
        is_implied = hop.transport == "udp" or (is_secure and hop.transport == "tls")
        # A URI says `ws` of secure WebSockets too (RFC 7118 §5.2).
        name = "ws" if hop.transport == "wss" else hop.transport
        transport = "" if is_implied else f";transport={name}"
        return "Contact", f"<{scheme}:{at}{write_host(listener.host)}:{listener.port}{transport}>"

    def invite_fields(self, hop: Hop, user: str, *, is_secure: bool = False) -> Fields:
        """What INVITEs and their 2xx say about us."""
        contact = self.contact(hop, user, is_secure=is_secure)
        return (contact, ("Allow", ALLOWED), ("Supported", SUPPORTED))

    def of(self, hop: Hop) -> Listener:
        """The address of ours to name to `hop`: the one it knows, else the first of its transport
        and family."""
        family = family_of(hop.host)
        own = self[hop.listener] if hop.listener < len(self) else None
        if own is not None and own.transport == hop.transport and own.reaches(family):
            return own
        for listener in self:
            if listener.transport == hop.transport and listener.reaches(family):
                return listener
        # Nothing listens there: the connection or socket fails when it is used, which is reported.
        return own or Listener(hop.transport, "invalid.invalid", 5060)
