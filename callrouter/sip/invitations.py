"""The INVITE of a call that we place, as each destination wants it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from callrouter.errors import Unroutable
from callrouter.ports import OutgoingCall
from callrouter.sip.plan import Destination, Plan
from callrouter.sip.protocol.agent import Agent
from callrouter.sip.protocol.auth import Credentials
from callrouter.sip.protocol.grammar import Fields, displayable, is_token, quote, write_host
from callrouter.sip.protocol.history import HEADER, chain_fields
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.identity import (
    TRUSTED_ONLY,
    IdentityHeader,
    Presentation,
    identity_fields,
    is_anonymous,
    sender_of,
    wants_privacy,
)
from callrouter.sip.protocol.outgoing import Invitation
from callrouter.sip.protocol.uri import Uri, escape_user
from callrouter.sip.trunk_settings import Trunk
from callrouter.sip.trunks import Trunks

_OURS = frozenset(
    {
        "via",
        "from",
        "to",
        "call-id",
        "cseq",
        "contact",
        "max-forwards",
        "route",
        "record-route",
        "content-type",
        "content-length",
        "authorization",
        "proxy-authorization",
        "require",
        "proxy-require",
        "allow",
        "supported",
        "user-agent",
        HEADER.lower(),
    }
)
"""Headers a caller of `place` must leave to us."""


class InvitationWriter:
    def __init__(self, agent: Agent, trunks: Trunks) -> None:
        self._agent = agent
        self._trunks = trunks

    def writer(self, call: OutgoingCall, plan: Plan) -> Callable[[Destination], Invitation]:
        """Writes the invitation of `call` for a destination of `plan`.  Raises `Unroutable` for a
        caller that cannot be written."""
        credentials = Credentials(call.username, call.password) if call.username else plan.credentials
        sender, user, identity = self._caller(call, plan)
        own = tuple(
            (name, displayable(value))
            for name, value in call.headers
            if is_token(name)
            and name.lower() not in _OURS
            and not (identity and name.lower() in TRUSTED_ONLY)
        )

        srtp = None if plan.trunk is None else plan.trunk.srtp
        passes = self._agent.settings.passes_to(plan.trunk.name if plan.trunk else "")
        lines = tuple(line for line in call.lines if line.kind in passes)

        def write(destination: Destination) -> Invitation:
            routes = tuple(("Route", route) for route in destination.routes)
            fields = (*routes, *identity, *chain_fields(call.marks), *own)
            return Invitation(
                destination.uri,
                sender,
                user,
                call.local,
                fields,
                credentials,
                srtp,
                to_browser=destination.is_browser,
                lines=lines,
                passes=passes,
                codec=call.codec,
                callee=plan.callee,
                hops=call.hops,
            )

        return write

    def _caller(self, call: OutgoingCall, plan: Plan) -> tuple[str, str, Fields]:
        """From without its tag, the user part for Contact, and what a carrier is told beside them."""
        if call.caller[:5].lower().startswith(("sip:", "sips:")) and plan.trunk is None:
            return self._written_out(call)
        domain = plan.domain or self._own_host(plan.groups[0][0])
        numbers = self._trunks.format(plan.trunk.name if plan.trunk else "")
        caller = _number_of(call.caller)
        is_private = call.is_private or wants_privacy(caller)
        known = call.responsible if is_anonymous(caller) and is_private else caller
        user = "" if is_anonymous(known) else numbers.outgoing(known)
        presented = Presentation(user, domain, call.caller_name, is_private=is_private)
        contact = "" if is_private else escape_user(user)
        return sender_of(presented), contact, self._beside(call, presented, plan.trunk)

    def _beside(self, call: OutgoingCall, presented: Presentation, trunk: Trunk | None) -> Fields:
        """What a carrier is told of the caller beside From.  Who does not want to be known is named to
        carriers that are trusted to keep it to themselves (RFC 3325 §7)."""
        if trunk is None:
            return ()
        if trunk.diversion and call.diverted_from:
            diverted_from = self._trunks.format(trunk.name).outgoing(call.diverted_from)
            presented = replace(presented, diverted_from=diverted_from)
        told = trunk.trusted or not presented.is_private
        return identity_fields(presented, trunk.identity if told else IdentityHeader.NONE)

    def _written_out(self, call: OutgoingCall) -> tuple[str, str, Fields]:
        try:
            uri = Uri.parse(call.caller)
        except ValueError as error:
            raise Unroutable(f"the caller {call.caller!r} is not a SIP URI: {error}") from error
        name = f"{quote(displayable(call.caller_name))} " if call.caller_name else ""
        return f"{name}<{uri}>", uri.user, ()

    def _own_host(self, destination: Destination) -> str:
        where = destination.where
        return write_host(
            self._agent.listeners.of(Hop(where.transport or "udp", where.host, where.port)).host
        )


def _number_of(caller: str) -> str:
    """What a carrier can be told of a caller: the user part of an address."""
    scheme, _, rest = caller.partition(":")
    if scheme.lower() not in ("sip", "sips", "client"):
        return caller
    return rest.partition("@")[0]
