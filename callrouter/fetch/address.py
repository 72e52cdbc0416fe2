"""The URL of one request: what is sent, what is signed, who logs in.  Pure.

The URL that is signed is the one the application can reconstruct from its own view of the request,
so it is kept byte for byte, except for what never travels: the fragment, an explicit default port
and a missing path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from yarl import URL

from callrouter.fetch.form import encoded

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_URL_CHARACTERS: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)
_USERINFO: Final = re.compile(r"^(\w*:?//)[^/?#]*@")
_MAX_LENGTH: Final = 16384


class BadUrl(ValueError):
    """The text is no URL that can be fetched; the message says why, without any password."""


@dataclass(frozen=True, slots=True)
class Address:
    """A fetchable URL, taken apart."""

    scheme: str
    host: str
    """Lower case, without brackets."""
    port: int
    signed: str
    """Without fragment; with user and password where the configuration has them."""
    sent: str
    """`signed` without user and password."""
    fragment: str
    username: str
    password: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def url(self) -> URL:
        return URL(self.sent, encoded=True)

    def with_query(self, parameters: tuple[tuple[str, str], ...]) -> Address:
        """The address of a GET: parameters follow the query that is there already."""
        if not parameters:
            return self
        query = ("&" if "?" in self.signed else "?") + encoded(parameters)
        return Address(
            self.scheme,
            self.host,
            self.port,
            self.signed + query,
            self.sent + query,
            self.fragment,
            self.username,
            self.password,
        )


def without_credentials(text: str) -> str:
    """`text` fit for logs and error messages: user, password and fragment are left out."""
    return _USERINFO.sub(r"\1", text).partition("#")[0]


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address:
    """Take `text` apart.  Raises `BadUrl`.  The same few URLs are asked for call after call."""
    text = text.strip()
    if len(text) > _MAX_LENGTH:
        raise BadUrl(f"the URL is longer than {_MAX_LENGTH} characters")
    try:
        if not _URL_CHARACTERS.fullmatch(text):
            text = str(URL(text))
        parts = urlsplit(text)
        port = parts.port
        host = (URL(text, encoded=True).raw_host or "").lower()
    except ValueError as error:
        raise BadUrl(f"{_shown(text)} is not a URL: {error}") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise BadUrl(f"{_shown(text)} has to begin with http:// or https://")
    if not host or not _URL_CHARACTERS.fullmatch(text):
        raise BadUrl(f"{_shown(text)} names no host")
    if port == 0:
        raise BadUrl(f"{_shown(text)} names port 0")
    default = _DEFAULT_PORTS[parts.scheme]
    userinfo, _, hostport = parts.netloc.rpartition("@")
    if port == default or hostport.endswith(":"):
        hostport = hostport.rpartition(":")[0]
    username, _, password = userinfo.partition(":")
    sent = urlunsplit((parts.scheme, hostport, parts.path or "/", parts.query, ""))
    signed = urlunsplit((parts.scheme, f"{userinfo}@{hostport}", parts.path or "/", parts.query, ""))
    return Address(
        scheme=parts.scheme,
        host=host,
        port=port or default,
        signed=signed if userinfo else sent,
        sent=sent,
        fragment=parts.fragment,
        username=unquote(username),
        password=unquote(password),
    )


def _shown(text: str) -> str:
    return repr(without_credentials(text)[:200])
