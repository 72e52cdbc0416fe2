"""Where an answer of class 3xx says that the callee is to be had (RFC 3261 §8.1.3.4, §21.3)."""

from __future__ import annotations

from dataclasses import replace

from callrouter.sip.protocol.grammar import displayable
from callrouter.sip.protocol.headers.address import readable
from callrouter.sip.protocol.message import Response
from callrouter.sip.protocol.registrar import thousandths

FOLLOWED = frozenset({300, 301, 302})
"""305 names a proxy rather than a callee, and 380 another service."""
MOST = 10
_SCHEMES = frozenset({"sip", "sips", "tel"})


def contacts_of(response: Response) -> tuple[str, ...]:
    """The addresses of its Contacts, the best first, without what they say about the INVITE.  What cannot
    be read or called is left out; of a long list the first `MOST` count."""
    if response.status not in FOLLOWED:
        return ()
    found = [address for value in response.all("Contact") for address in readable(value)][:MOST]
    callable_ones = [address for address in found if address.uri.scheme in _SCHEMES]
    callable_ones.sort(key=lambda address: thousandths(address.get("q")), reverse=True)
    return tuple(displayable(str(replace(address.uri, headers=""))) for address in callable_ones)
