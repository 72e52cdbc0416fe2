"""Who is asking: HTTP Basic with an account's or a key's credentials, for every route but the open ones."""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Collection
from typing import Final

import structlog
from aiohttp import web

from callrouter.api.context import CALLER, WITH_TOKEN, Context
from callrouter.ports import Clock

log = structlog.get_logger(__name__)

_WINDOW_NS: Final = 60_000_000_000
_MAX_TRACKED: Final = 10_000
_MAX_HEADER: Final = 2048


class Unauthenticated(Exception):
    """No credentials, or wrong ones."""


class TooManyAttempts(Exception):
    """Come back in `retry_seconds`."""

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(f"too many failed logins; try again in {retry_seconds} s")
        self.retry_seconds = retry_seconds


class ForeignAccount(Exception):
    """The account in the path is not one the caller may act for."""


class Attempts:
    """Counts failed logins by user and address; `limit` of them within a minute close the door for
    the rest of that minute.  Remembers a bounded number of offenders."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._failures: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def check(self, user: str, address: str) -> None:
        """Raises `TooManyAttempts`."""
        since, count = self._failures.get((user, address), (0, 0))
        left_ns = since + _WINDOW_NS - self._clock.monotonic_ns()
        if count >= self._limit and left_ns > 0:
            raise TooManyAttempts(-(-left_ns // 1_000_000_000))

    def failed(self, user: str, address: str) -> None:
        now = self._clock.monotonic_ns()
        since, count = self._failures.pop((user, address), (now, 0))
        if now - since >= _WINDOW_NS:
            since, count = now, 0
        self._failures[user, address] = (since, count + 1)
        if len(self._failures) > _MAX_TRACKED:
            self._failures.popitem(last=False)


class Gate:
    """Admits requests.  `open_routes` are names of routes that need no credentials; credentials
    that are given all the same have to be right."""

    def __init__(self, context: Context, open_routes: Collection[str]) -> None:
        self._accounts = context.accounts
        self._attempts = Attempts(context.clock, context.settings.failed_logins)
        self._open = frozenset(open_routes)

    def admit(self, request: web.Request) -> None:
        """Note who is asking.  Raises `Unauthenticated`, `TooManyAttempts` or `ForeignAccount`."""
        header = request.headers.get("Authorization", "")
        route = request.match_info.route.name
        if not header and route in self._open:
            return
        user, password = _credentials(header)
        address = request.remote or ""
        self._attempts.check(user, address)
        account = self._accounts.authenticated(user, password)
        if account is None:
            self._attempts.failed(user, address)
            log.warning("api_login_failed", user=user[:40], address=address)
            raise Unauthenticated
        wanted = request.match_info.get("account")
        if wanted is not None and not self._accounts.may_act_for(account, wanted):
            raise ForeignAccount
        request[CALLER] = account
        request[WITH_TOKEN] = user == account.sid


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > _MAX_HEADER:
        raise Unauthenticated
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated from None
    if not colon:
        raise Unauthenticated
    return user, password
