"""How a call is to be tried: what comes of a target before the first INVITE goes out."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.ports.causes import is_final
from callrouter.sip.protocol.admission import PEER, Origin, OriginKind
from callrouter.sip.protocol.auth import Credentials
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.selection import is_worth_another
from callrouter.sip.resolver import Place
from callrouter.sip.trunk_settings import Trunk


@dataclass(frozen=True, slots=True)
class Destination:
    """One way to the callee."""

    uri: str
    """Request-URI."""
    where: Place | Hop
    """A server that may have to be looked up, or exactly where to send it."""
    routes: tuple[str, ...] = ()
    gateway: str = ""
    """Of a trunk, as figures and logs name it."""
    is_browser: bool = False
    """A phone in a browser, which needs another offer than a telephone."""
    mentioned_by: str = ""
    """IP literal of who merely mentioned it: nothing goes where that one may not point."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Groups are tried one after the other, the destinations of one at the same time."""

    groups: tuple[tuple[Destination, ...], ...]
    domain: str = ""
    """For our From; "" = our own address."""
    credentials: Credentials | None = None
    trunk: Trunk | None = None
    patience_ns: int = 0
    """How long a destination may stay silent while there is another; 0 = as long as it takes."""
    user: str = ""
    """Of ours, where it is one who is called."""

    @property
    def callee(self) -> Origin:
        """Who is called, as far as the settings know them."""
        if self.trunk is not None:
            return Origin(OriginKind.TRUNK, self.trunk.name)
        return Origin(OriginKind.USER, self.user) if self.user else PEER

    def goes_on_after(self, status: int, q850: int = 0) -> bool:
        """Whether the next group is tried after a failure with `status`, and a cause of Q.850.  The servers
        of a carrier speak for the same callee; the contacts of a user are places where that user may be."""
        if self.trunk is None:
            return status < 600
        return is_worth_another(status) and not is_final(q850)
