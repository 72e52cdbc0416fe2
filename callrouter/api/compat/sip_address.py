"""Whether a `sip:` or `sips:` URI can be called at all, by its form (RFC 3261 §19.1).  Pure.

Nothing is looked up: a host that does not exist is found out when it is called."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from callrouter.api.compat.errors import BAD_SIP_HEADER, BAD_SIP_HEADER_NAME, LONG_SIP_HEADERS, bad
from callrouter.calls import invited_transfer

IS_SIP: Final = re.compile(r"sips?:", re.IGNORECASE)
LONGEST_URI: Final = 255
LONGEST_HEADERS: Final = 1024
_TRANSPORTS: Final = ("udp", "tcp", "tls", "ws", "wss")
_SECURE: Final = ("tcp", "tls", "ws", "wss")
"""Of these one that `sips:` may name: what it means is TLS over it (§26.2.2)."""

_USER: Final = re.compile(r"[^\s@<>\"\\%\x00-\x20\x7f]|%[0-9A-Fa-f]{2}", re.ASCII)
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_VALUE: Final = re.compile(r"(?:[^\s@<>\"\\;?%\x00-\x20\x7f]|%[0-9A-Fa-f]{2})*", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_sip_address(name: str, text: str, wrong: int) -> str:
    """`text` with its scheme in lower case.  Raises `RestError` with the code `wrong`, or that of the headers
    of a URI, and a message that says what of the parameter `name` is wrong."""
    scheme, _, rest = text.partition(":")
    address, question, headers = rest.partition("?")
    try:
        _check_address(scheme.lower(), address)
    except ValueError as error:
        raise bad(
            wrong, f"{name} is not a SIP address that can be called: {error}: {_shown(text)}"
        ) from error
    if question:
        _check_headers(name, headers)
    return f"{scheme.lower()}:{rest}"


def _check_address(scheme: str, address: str) -> None:
    if len(invited_transfer.without(f"{scheme}:{address}")) > LONGEST_URI:
        raise ValueError(f"it has more than {LONGEST_URI} characters")
    if not address.isascii():
        raise ValueError("characters beyond ASCII have to be escaped (%C3%A9)")
    login, at, location = address.rpartition("@")
    if at:
        _check_login(login)
    where, *parameters = location.split(";")
    _check_location(where)
    for parameter in parameters:
        _check_parameter(scheme, parameter)


def _check_login(login: str) -> None:
    user = login.partition(":")[0]
    if not user:
        raise ValueError("the user part before the @ is empty")
    if wrong := _USER.sub("", login):
        raise ValueError(f"{wrong[0]!r} in the user part has to be escaped")
    if _CONTROL.search(unquote(login)):
        raise ValueError("the user part has control characters")


def _check_location(where: str) -> None:
    """`host`, or `host:port`."""
    if where.startswith("["):
        literal, bracket, rest = where[1:].partition("]")
        if not bracket:
            raise ValueError("the bracket of the IPv6 address is not closed")
        _check_reachable(_ipv6(literal))
        if rest and not rest.startswith(":"):
            raise ValueError(f"{rest!r} behind the IPv6 address is no port")
        colon, port = rest[:1], rest[1:]
    elif where.count(":") > 1:
        raise ValueError("an IPv6 address stands in brackets")
    else:
        host, colon, port = where.partition(":")
        _check_host(host)
    if colon and not (port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        raise ValueError(f"the port has to be a number from 1 to 65535, not {port[:20]!r}")


def _ipv6(literal: str) -> ipaddress.IPv6Address:
    if "%" in literal:
        raise ValueError("the zone of an IPv6 address means nothing elsewhere")
    try:
        return ipaddress.IPv6Address(literal)
    except ValueError:
        raise ValueError(f"{literal[:50]!r} is no IPv6 address") from None


def _check_host(host: str) -> None:
    if not host:
        raise ValueError("it has no host")
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdecimal():
        try:
            _check_reachable(ipaddress.IPv4Address(host))
        except ipaddress.AddressValueError:
            raise ValueError(f"{host[:50]!r} is no IPv4 address") from None
    elif not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{host[:80]!r} cannot be the name of a host")


def _check_reachable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        raise ValueError(f"{address} is nobody's address")


def _check_parameter(scheme: str, parameter: str) -> None:
    name, equals, value = parameter.partition("=")
    if not _TOKEN.fullmatch(name) or (equals and not _VALUE.fullmatch(value)):
        raise ValueError(f"malformed parameter {parameter[:50]!r}")
    checks: dict[str, Callable[[str, str], None]] = {"transport": _check_transport, "maddr": _check_maddr}
    if (check := checks.get(name.lower())) is not None:
        check(scheme, value)


def _check_transport(scheme: str, value: str) -> None:
    allowed = _SECURE if scheme == "sips" else _TRANSPORTS
    if value.lower() not in allowed:
        raise ValueError(
            f"the transport of {scheme}: has to be one of {', '.join(allowed)}, not {value[:20]!r}"
        )


def _check_maddr(_scheme: str, value: str) -> None:
    if value.startswith("["):
        _check_reachable(_ipv6(value[1:].removesuffix("]")))
    else:
        _check_host(value)


def _check_headers(name: str, headers: str) -> None:
    """What follows `?`."""
    if len(headers) >= LONGEST_HEADERS:
        message = f"The headers of {name} must have fewer than {LONGEST_HEADERS} characters"
        raise bad(LONG_SIP_HEADERS, message)
    for pair in headers.split("&"):
        header, equals, value = pair.partition("=")
        if not equals or not _TOKEN.fullmatch(unquote(header)):
            raise bad(BAD_SIP_HEADER_NAME, f"{name} has a header without a proper name: {_shown(pair)}")
        if not value.isascii() or _CONTROL.search(unquote(value)):
            raise bad(
                BAD_SIP_HEADER, f"{name} has a header with characters that it may not have: {_shown(pair)}"
            )


def _shown(text: str) -> str:
    return ascii(text[:100])[1:-1]
