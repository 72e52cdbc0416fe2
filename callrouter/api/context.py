"""What the handlers of both APIs stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import web

from callrouter.api.settings import Settings
from callrouter.identity.accounts import Account
from callrouter.identity.secrets import SecretBox
from callrouter.ports import CallControl, Clock, Metrics, MixDown, TracedMessage
from callrouter.ports.carriers import TrunkState
from callrouter.storage.database import Database
from metering.meter import Meter


class Accounts(Protocol):
    """Who may use the API, and for whom."""

    def __iter__(self) -> Iterator[Account]: ...

    def get(self, sid: str) -> Account | None: ...

    def authenticated(self, user: str, password: str) -> Account | None:
        """The account whose credentials these are, in constant time."""

    def may_act_for(self, account: Account, sid: str) -> bool:
        """Whether the account is `sid` or stands above it."""


@dataclass(frozen=True, slots=True)
class Context:
    settings: Settings
    accounts: Accounts
    control: CallControl
    database: Database
    meter: Meter
    clock: Clock
    figures: Metrics
    """Where requests are counted."""
    metrics: Callable[[], bytes]
    """The exposition text of Prometheus."""
    not_ready: Callable[[], Sequence[str]]
    """Why the server should get no calls now; empty when it should."""
    degraded: Callable[[], Sequence[str]]
    """What does not work although calls may come; empty when all is well."""
    mix_down: MixDown
    box: SecretBox
    """Seals answers that are kept."""
    trace: Callable[[str], tuple[tuple[TracedMessage, ...], int]] = lambda call_id: ((), 0)
    """The SIP messages of a Call-ID that are remembered, in order, and how many are not."""
    trunks: Callable[[], Sequence[TrunkState]] = lambda: ()
    """How the carriers are doing."""
    public_url: str = ""
    """Base of absolute URLs in answers; empty: as the client addressed us."""

    def base_url(self, request: web.BaseRequest) -> str:
        return self.public_url.rstrip("/") or f"{request.scheme}://{request.host}"


CALLER: Final = web.RequestKey("caller", Account)
"""The account that a request is authenticated as."""
WITH_TOKEN: Final = web.RequestKey("with_token", bool)
"""It proved so with its own token, not with a key."""
