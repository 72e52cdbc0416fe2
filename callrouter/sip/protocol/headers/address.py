"""`From`, `To`, `Contact`, `Route` and their kin (RFC 3261 §20.10)."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from callrouter.sip.protocol.grammar import (
    Parameters,
    displayable,
    parameter,
    parse_parameters,
    quoted_end,
    split,
    unquote,
    write_parameters,
)
from callrouter.sip.protocol.uri import Uri

# display-name = *(token LWS) / quoted-string; real peers put dots, accents and more between tokens,
# but a comma or a quote would make one value look like two.
_NOT_IN_NAME = re.compile(r'[",:;<>@\\\x00-\x08\x0a-\x1f\x7f]')
_BARE_URI = re.compile(r"sips?:[^\s,?<>\"]+;")
_CACHED_LENGTH = 300


class Address(NamedTuple):
    """A name-addr or addr-spec with the parameters of its header."""

    uri: Uri
    name: str = ""
    """The display name as on the wire, quotes included."""
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises `ValueError`."""
        head, bracket, tag = text.rpartition(">")
        if tag.startswith(";tag=") and '"' not in tag:
            # The same people call again, each time with another tag.
            known = cls.parse(head + bracket)
            return cls(known.uri, known.name, parse_parameters(tag[1:]))
        return _parse_cached(text) if len(text) <= _CACHED_LENGTH else _parse(text)

    @property
    def display_name(self) -> str:
        """The name for people: unquoted, undecodable bytes read as Latin-1, no control characters."""
        return displayable(unquote(self.name))

    @property
    def tag(self) -> str:
        return parameter(self.parameters, "tag") or ""

    def get(self, name: str) -> str | None:
        return parameter(self.parameters, name)

    def __str__(self) -> str:
        space = " " if self.name else ""
        return f"{self.name}{space}<{self.uri}>{write_parameters(self.parameters)}"


def _parse(text: str) -> Address:
    text = text.strip()
    name, rest = _split_name(text)
    if not rest:
        return _parse_bare(text)
    end = rest.find(">")
    if end < 0:
        raise ValueError("'<' without '>'")
    tail = rest[end + 1 :].lstrip()
    if tail and tail[0] != ";":
        raise ValueError(f"unexpected text behind '>': {tail[:30]!r}")
    uri = Uri.parse(rest[1:end])
    return Address(uri, name, parse_parameters(tail[1:]) if tail else ())


def _split_name(text: str) -> tuple[str, str]:
    """The display name, and what starts with `<` ("" when there are no brackets)."""
    if text.startswith('"'):
        end = quoted_end(text)
        name, rest = text[:end], text[end:].lstrip()
        if not rest.startswith("<"):
            raise ValueError("display name without '<'")
        return name, rest
    start = text.find("<")
    if start < 0:
        return "", ""
    name = text[:start].rstrip()
    if _NOT_IN_NAME.search(name):
        # `sip:a@b;x="<y>"` has a bracket, but only in a parameter.
        if _BARE_URI.match(text):
            return "", ""
        raise ValueError(f"display name must be quoted: {name[:30]!r}")
    return name, text[start:]


def _parse_bare(text: str) -> Address:
    """Without brackets, what follows `;` belongs to the header, and `?` and `,` are not allowed."""
    spec, semicolon, parameters = text.partition(";")
    spec = spec.rstrip()
    if "?" in spec or "," in spec:
        raise ValueError("a URI with '?' or ',' needs '<' and '>'")
    return Address(Uri.parse(spec), "", parse_parameters(parameters) if semicolon else ())


_parse_cached = functools.lru_cache(maxsize=4096)(_parse)


def parse_list(text: str) -> list[Address]:
    """A comma-separated header value."""
    return [Address.parse(part) for part in split(text, ",")]


def readable(value: str) -> list[Address]:
    """The same, none where it cannot be read."""
    try:
        return parse_list(value)
    except ValueError:
        return []


def tag_of(value: str) -> str:
    """The tag of a `From` or `To` value, "" without one; spares the full parse in the usual case."""
    head, found, tag = value.rpartition(";tag=")
    if found and '"' not in tag and " " not in tag and ">" not in tag and "tag" not in head.lower():
        if head.endswith(">") or '"' not in head:
            return tag.partition(";")[0]
    elif "tag" not in value.lower():
        return ""
    try:
        return Address.parse(value).tag
    except ValueError:
        return ""
