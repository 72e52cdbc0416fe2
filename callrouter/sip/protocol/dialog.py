"""Dialogs (RFC 3261 §12): who the two ends are to each other, and how to reach the other one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from callrouter.sip.protocol.addresses import Network, Reach, may_send, reach_of
from callrouter.sip.protocol.grammar import split
from callrouter.sip.protocol.headers.address import Address
from callrouter.sip.protocol.hop import TRANSPORTS, Hop, default_port
from callrouter.sip.protocol.message import Message, Request, Response
from callrouter.sip.protocol.uri import Uri

_ODD = re.compile(r"[,?]|;method=", re.IGNORECASE)
_LOCAL = frozenset({Reach.PRIVATE, Reach.LINK_LOCAL, Reach.LOOPBACK})
"""Where an address means the same host only to its neighbours."""


@dataclass(slots=True)
class Dialog:
    call_id: str
    local: str
    """Our `From` in requests we send: address and tag, as on the wire."""
    local_tag: str
    remote: str
    """Their address and tag, as on the wire."""
    remote_tag: str
    """"" for a peer of RFC 2543."""
    target: str
    """Their Contact: the Request-URI of what we send."""
    routes: tuple[str, ...]
    """`Route` values, nearest first."""
    hop: Hop
    """Where their last request or response came from."""
    local_sequence: int = 0
    remote_sequence: int = -1
    """-1: no request of theirs yet."""
    is_behind_nat: bool = False
    """Their Contact is how they know themselves: what we send goes where they are seen."""

    @classmethod
    def of_request(cls, invite: Request, local_tag: str, hop: Hop) -> Dialog:
        """The callee's side, from the INVITE (§12.1.1)."""
        remote = invite.get("From") or ""
        # RFC 2543 knew INVITEs without Contact; their From is all there is.
        target = contact_of(invite) or str(Address.parse(remote).uri)
        routes = _routes(invite)
        own = invite.via.host
        return cls(
            call_id=invite.call_id,
            local=f"{invite.get('To')};tag={local_tag}",
            local_tag=local_tag,
            remote=remote,
            remote_tag=invite.from_tag,
            target=target,
            routes=routes,
            hop=hop,
            remote_sequence=invite.cseq.number,
            is_behind_nat=own != hop.host and not routes and _is_hidden(target, own),
        )

    @classmethod
    def of_response(cls, invite: Request, response: Response, hop: Hop) -> Dialog:
        """The caller's side, from a response with a To tag (§12.1.2)."""
        target = contact_of(response) or invite.uri
        routes = tuple(reversed(_routes(response)))
        is_straight = not routes and invite.get("Route") is None
        return cls(
            call_id=invite.call_id,
            local=invite.get("From") or "",
            local_tag=invite.from_tag,
            remote=response.get("To") or "",
            remote_tag=response.to_tag,
            target=target,
            routes=routes,
            hop=hop,
            local_sequence=invite.cseq.number,
            is_behind_nat=hop.host not in invite.uri
            and is_straight
            and _is_hidden(target, _host_of(invite.uri)),
        )

    def next_hop(self, mentionable: tuple[Network, ...] = ()) -> Hop:
        """Where a request within the dialog goes: the open connection of a stream, else the first
        route, else the target; but where that one may not point, it is where it was seen: behind a NAT, or up
        to something.  So it is where a name leads nowhere, which the shell finds (`seen_port`)."""
        if self.is_behind_nat or (self.hop.is_reliable and self.hop.connection):
            return self.hop
        try:
            uri = Address.parse(self.routes[0]).uri if self.routes else Uri.parse(self.target)
        except ValueError:
            return self.hop
        is_named = uri.has("transport") or uri.scheme == "sips"
        transport = uri.transport if is_named else self.hop.transport
        if not uri.is_sip or transport not in TRANSPORTS:
            return self.hop
        host = (uri.get("maddr") or uri.host).strip("[]")
        if not may_send(host, self.hop.host, mentionable):
            return self.hop
        # An address without a name has to prove the name that the dialog began with.
        is_name = reach_of(host) is None
        name = host if is_name else self.hop.name
        port = uri.port or default_port(transport)
        seen_port = self.hop.port if is_name and transport == self.hop.transport == "udp" else 0
        return Hop(transport, host, port, self.hop.listener, 0, name, self.hop.host, seen_port)

    def start_and_routes(self) -> tuple[str, tuple[str, ...]]:
        """Request-URI and Route values; a first route without `lr` takes the Request-URI's place
        (§12.2.1.1)."""
        if not self.routes:
            return self.target, ()
        first = Address.parse(self.routes[0])
        if first.uri.has("lr"):
            return self.target, self.routes
        return first.uri.as_request_uri(), (*self.routes[1:], f"<{self.target}>")

    def refresh(self, message: Message, hop: Hop) -> None:
        """A target refresh moves the far end, never the routes (§12.2)."""
        contact = contact_of(message)
        if contact:
            self.target = contact
        self.hop = hop

    def to_json(self) -> str:
        """For `from_json` in another process."""
        return json.dumps(
            {
                "call_id": self.call_id,
                "local": self.local,
                "remote": self.remote,
                "target": self.target,
                "routes": self.routes,
                "sequence": self.local_sequence,
                "transport": self.hop.transport,
                "host": self.hop.host,
                "port": self.hop.port,
                "name": self.hop.name,
                "is_behind_nat": self.is_behind_nat,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Dialog:
        """Raises `ValueError` when this is not what `to_json` wrote."""
        try:
            state = json.loads(text)
            local, remote = str(state["local"]), str(state["remote"])
            return cls(
                call_id=str(state["call_id"]),
                local=local,
                local_tag=Address.parse(local).tag,
                remote=remote,
                remote_tag=Address.parse(remote).tag,
                target=str(state["target"]),
                routes=tuple(str(r) for r in state["routes"]),
                hop=Hop(
                    str(state["transport"]),
                    str(state["host"]),
                    int(state["port"]),
                    name=str(state.get("name", "")),
                ),
                local_sequence=int(state["sequence"]),
                is_behind_nat=state.get("is_behind_nat") is True,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a dialog state: {error}") from error


def contact_of(message: Message) -> str:
    """The URI of the first Contact, as a Request-URI; "" when there is none that can be read."""
    value = message.get("Contact")
    if not value:
        return ""
    try:
        if value[0] == "<" and value[-1] == ">" and not _ODD.search(value):
            Uri.parse(value[1:-1])
            return value[1:-1]  # the usual case: nothing to write anew
        return Address.parse(split(value, ",")[0]).uri.as_request_uri()
    except ValueError:
        return ""


def _is_hidden(target: str, own: str) -> bool:
    """`target` names `own`, how a peer that was seen elsewhere calls itself, and that is an address nobody
    beyond its network can reach: there is a NAT between, and no proxy that says how to pass it."""
    return reach_of(own) in _LOCAL and _host_of(target) == own


def _host_of(uri: str) -> str:
    """ "" for what cannot be read."""
    try:
        return Uri.parse(uri).host
    except ValueError:
        return ""


def _routes(message: Message) -> tuple[str, ...]:
    """The recorded route.  In a response it may be anything: what cannot be read leads nowhere."""
    routes: list[str] = []
    for value in message.all("Record-Route"):
        try:
            parts = [part.strip() for part in split(value, ",")]
            routes += [part for part in parts if Address.parse(part).uri.is_sip]
        except ValueError:
            continue
    return tuple(routes)
