"""URIs: `sip:` and `sips:` taken apart (RFC 3261 §19.1), every other scheme kept whole."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from urllib.parse import quote as percent_encode
from urllib.parse import unquote as percent_decode

from callrouter.sip.protocol.grammar import (
    Parameters,
    displayable,
    parameter,
    parse_host_port,
    parse_parameters,
    write_host,
    write_parameters,
)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
# The user part of real peers goes beyond the grammar ("#", "|", letters of any script); what would
# end a header value or an angle bracket does not pass.
_NOT_IN_USER = re.compile(r"[\s<>\"\\\x00-\x20\x7f]")
_CACHED_LENGTH = 200
_UNESCAPED = "+-_.!~*'()&=$,;?/#"
"""What a user part may hold unescaped (RFC 3261 §25.1), and `#`, which numbers have."""


@dataclass(frozen=True, slots=True)
class Uri:
    scheme: str
    """In lower case."""
    user: str = ""
    """As on the wire, escapes kept: `%00` and `;` belong to it."""
    password: str | None = None
    host: str = ""
    """Without brackets; "" for a scheme that is not SIP's."""
    port: int | None = None
    parameters: Parameters = ()
    headers: str = ""
    """What follows `?`, as on the wire."""
    opaque: str = ""
    """Everything behind the colon, for a scheme that is not SIP's."""

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Raises `ValueError`."""
        return _parse_cached(text) if len(text) <= _CACHED_LENGTH else _parse(text)

    @property
    def is_sip(self) -> bool:
        return self.scheme in ("sip", "sips")

    @property
    def transport(self) -> str:
        """`udp`, `tcp`, `tls` …: the parameter, else what the scheme implies."""
        named = parameter(self.parameters, "transport")
        if self.scheme == "sips":
            return "tls" if named in (None, "tcp") else str(named).lower()
        return named.lower() if named else "udp"

    @property
    def plain_user(self) -> str:
        """The user part unescaped, fit for people and documents."""
        return displayable(percent_decode(self.user)) if "%" in self.user else displayable(self.user)

    def has(self, name: str) -> bool:
        return parameter(self.parameters, name) is not None

    def get(self, name: str) -> str | None:
        return parameter(self.parameters, name)

    def as_request_uri(self) -> str:
        """Without what only Contact and the like may hold (RFC 3261 §19.1.1, table 1)."""
        kept = tuple(one for one in self.parameters if one[0].lower() != "method")
        return str(replace(self, headers="", parameters=kept))

    def __str__(self) -> str:
        if not self.is_sip:
            return f"{self.scheme}:{self.opaque}"
        login = self.user if self.password is None else f"{self.user}:{self.password}"
        at = f"{login}@" if login else ""
        port = "" if self.port is None else f":{self.port}"
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{at}{write_host(self.host)}{port}{write_parameters(self.parameters)}{headers}"


def _parse(text: str) -> Uri:
    scheme, colon, rest = text.partition(":")
    if not colon or _SCHEME.fullmatch(scheme) is None:
        raise ValueError(f"not a URI: {text[:50]!r}")
    if _NOT_IN_USER.search(rest):
        raise ValueError(f"character not allowed in a URI: {text[:50]!r}")
    scheme = scheme.lower()
    if scheme not in ("sip", "sips"):
        return Uri(scheme, opaque=rest)
    # A user part may hold a ?, and headers an @ that should have been escaped (a Call-ID in Replaces).
    question = rest.find("?", max(0, rest.find("@")))
    address, headers = (rest, "") if question < 0 else (rest[:question], rest[question + 1 :])
    if question >= 0 and not headers:
        raise ValueError("empty headers in a SIP URI")
    login, at, location = address.rpartition("@")
    if at and not login:
        raise ValueError("empty user part in a SIP URI")
    user, has_password, password = login.partition(":")
    location, semicolon, parameters = location.partition(";")
    host, port = parse_host_port(location)
    return Uri(
        scheme,
        user,
        password if has_password else None,
        host,
        port,
        parse_parameters(parameters) if semicolon else (),
        headers,
    )


_parse_cached = functools.lru_cache(maxsize=4096)(_parse)


def escape_user(user: str) -> str:
    """`user` as a user part."""
    return percent_encode(user, safe=_UNESCAPED)
