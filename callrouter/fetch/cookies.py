"""What one call remembers between its requests: cookies, and where it has logged in."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

import aiohttp

from callrouter.fetch.address import Address

_MAX_COOKIES: Final = 64
_MAX_COOKIE_BYTES: Final = 4096


class CallJar:
    """Kept for the life of a call, so that sessions of web applications work across documents.
    Create it on the event loop."""

    def __init__(self) -> None:
        self._jar: aiohttp.CookieJar | None = None
        """Made when the first cookie comes; most calls never get one."""
        self._logins: dict[tuple[str, str, int], str] = {}

    def header(self, address: Address) -> str:
        """Value of the Cookie header for a request to `address`, "" for none."""
        if self._jar is None:
            return ""
        morsels = self._jar.filter_cookies(address.url).values()
        return "; ".join(f"{morsel.key}={morsel.coded_value}" for morsel in morsels)

    def store(self, address: Address, set_cookie: Iterable[str]) -> None:
        """Take the Set-Cookie headers of an answer from `address`."""
        small = [value for value in set_cookie if len(value) <= _MAX_COOKIE_BYTES]
        if not small:
            return
        if self._jar is None:
            # unsafe: cookies of hosts that are IP addresses are wanted too.
            self._jar = aiohttp.CookieJar(unsafe=True)
        if len(self._jar) < _MAX_COOKIES:
            self._jar.update_cookies_from_headers(small[:_MAX_COOKIES], address.url)

    def log_in(self, address: Address) -> None:
        """The server asked for credentials: give those of `address` without being asked from now on."""
        login = f"{address.username}:{address.password}".encode()
        self._logins[address.origin] = f"Basic {base64.b64encode(login).decode()}"

    def authorization(self, address: Address) -> str:
        """Value of the Authorization header for a request to `address`, "" for none."""
        return self._logins.get(address.origin, "")
