"""The words of SIP's grammar (RFC 3261 §25.1) that more than one header is made of.

Text here is what the parser made of the wire: UTF-8, with undecodable bytes kept as surrogates, so
that writing a value gives back the bytes it came from.
"""

from __future__ import annotations

import ipaddress
import re

Fields = tuple[tuple[str, str], ...]
"""Header fields in order: their names as written, and their values."""
Parameters = tuple[tuple[str, str | None], ...]
"""`;name` (value None) and `;name=value`, names in lower case, values as on the wire."""

# token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~")
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
# quoted-string = DQUOTE *(qdtext / quoted-pair) DQUOTE
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
# A parameter value is a token, a host or a quoted string; hosts bring brackets and colons, and
# carriers bring anything that separates nothing.
_VALUE = re.compile(r"[^\s\"<>,;=\\][^\s\"<>,;\\]*")
_is_token, _is_value = _TOKEN.fullmatch, _VALUE.fullmatch
# hostname: underscores and labels of digits are seen from real peers, so they pass.
_HOST_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
_IPV6_REFERENCE = re.compile(r"\[[0-9A-Fa-f:.]+\]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")

MAX_NUMBER = 2**32 - 1


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def number(text: str, limit: int = MAX_NUMBER) -> int:
    """Decimal digits up to `limit`; `ValueError` for anything else, however long."""
    if len(text) < 10 and text.isdecimal() and text.isascii():
        value = int(text)
        if value <= limit:
            return value
    if not (text.isascii() and text.isdigit()) or len(text.lstrip("0")) > 10:
        raise ValueError(f"not a number: {text[:20]!r}")
    value = int(text.lstrip("0") or "0")
    if value > limit:
        raise ValueError(f"number too large: {text[:20]}")
    return value


def quoted_end(text: str, start: int = 0) -> int:
    """Index behind the quoted string that begins at `start`."""
    match = _QUOTED.match(text, start)
    if match is None:
        raise ValueError("unterminated quoted string")
    return match.end()


def unquote(text: str) -> str:
    """The content of a quoted string; other text unchanged."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL) if "\\" in inner else inner


def quote(text: str) -> str:
    """`text` as a quoted string; control characters are dropped, nobody may see them."""
    clean = _CONTROLS.sub("", text)
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'


def displayable(text: str) -> str:
    """`text` for people, logs and documents: undecodable bytes read as Latin-1, controls dropped."""
    if not text.isprintable():
        raw = text.encode("utf-8", "surrogateescape")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        text = "".join(c for c in text if c.isprintable())
    return text


def media_type(text: str) -> str:
    """`type/subtype` of a Content-Type or Accept, in lower case and without parameters; the slash may
    have white space around it, as where a line was folded."""
    kind = text.partition(";")[0].strip().lower()
    return "/".join(map(str.strip, kind.split("/"))) if " " in kind or "\t" in kind else kind


def split(text: str, separator: str) -> list[str]:
    """Split at `separator` outside of quoted strings and angle brackets."""
    if '"' not in text and "<" not in text:
        return text.split(separator)
    parts = []
    start = i = 0
    bracket = False
    while i < len(text):
        c = text[i]
        if c == '"':
            i = quoted_end(text, i)
            continue
        if c == "<":
            bracket = True
        elif c == ">":
            bracket = False
        elif c == separator and not bracket:
            parts.append(text[start:i])
            start = i + 1
        i += 1
    parts.append(text[start:])
    return parts


def parse_parameters(text: str) -> Parameters:
    """What follows the first `;`."""
    parameters: list[tuple[str, str | None]] = []
    for part in split(text, ";"):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if _is_token(name) is None:
            raise ValueError(f"malformed parameter: {part.strip()[:40]!r}")
        if not equals:
            parameters.append((name, None))
            continue
        value = value.strip()
        if _is_value(value) is None and _QUOTED.fullmatch(value) is None:
            raise ValueError(f"malformed value of parameter {name}")
        parameters.append((name, value))
    return tuple(parameters)


def write_parameters(parameters: Parameters) -> str:
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in parameters)


def parameter(parameters: Parameters, name: str) -> str | None:
    """The value of the first parameter `name`, "" when it has none, None when it is missing."""
    for key, value in parameters:
        if key == name:
            return "" if value is None else value
    return None


def parse_host_port(text: str) -> tuple[str, int | None]:
    """`host[:port]`; an IPv6 reference loses its brackets.  The three colons that RFC 3261's own
    grammar produced (RFC 5118 §4.10) pass as the address they mean."""
    if text.startswith("["):
        end = text.find("]") + 1
        if _IPV6_REFERENCE.fullmatch(text[:end]) is None:
            raise ValueError(f"malformed IPv6 reference: {text[:50]!r}")
        host, rest = text[1 : end - 1].replace(":::", "::"), text[end:].strip()
        ipaddress.IPv6Address(host)
        if not rest:
            return host, None
        if rest[0] != ":":
            raise ValueError(f"malformed host: {text[:50]!r}")
        return host, parse_port(rest[1:].strip())
    host, colon, port = text.partition(":")
    host = host.rstrip()
    if _HOST_NAME.fullmatch(host) is None:
        raise ValueError(f"malformed host: {host[:50]!r}")
    return host, parse_port(port.strip()) if colon else None


def parse_port(text: str) -> int:
    port = number(text, 65535)
    if port == 0:
        raise ValueError("port 0")
    return port


def write_host(host: str) -> str:
    """A host as it stands in a URI or Via: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
