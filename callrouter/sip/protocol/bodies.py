"""What a message's body says of the session, also where it stands beside something else (RFC 5621).

Carriers put the signalling of the telephone network (RFC 3204), locations and the like next to the
description, as parts of one body.  What has to be understood is refused with 415; what may be left
alone is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from callrouter.sip.protocol.grammar import Fields, media_type, parameter, parse_parameters, unquote

SDP_TYPE = "application/sdp"
SDP: Fields = (("Content-Type", SDP_TYPE),)
"""What stands above a description of ours."""
_MOST_PARTS = 32
_DEEPEST = 3
"""Bodies within bodies that are looked into."""
_UNENCODED = frozenset({"", "7bit", "8bit", "binary"})
_COMPACT = {"c": "content-type", "e": "content-encoding"}


class Unsupported(ValueError):
    """The body has to be understood, and is not: 415."""


@dataclass(frozen=True, slots=True)
class Part:
    """A body, or a part of one, as its header fields describe it."""

    content: bytes
    content_type: str = ""
    """As on the wire; "" where nothing is said."""
    disposition: str = ""
    encoding: str = ""
    """Content-Encoding and Content-Transfer-Encoding, what of them changes something."""

    @property
    def kind(self) -> str:
        """`type/subtype` in lower case."""
        return media_type(self.content_type)

    @property
    def handling(self) -> str:
        """`required`, `optional` …; "" where it is left to the default (RFC 3261 §20.11)."""
        _, semicolon, rest = self.disposition.partition(";")
        try:
            return (parameter(parse_parameters(rest), "handling") or "").lower() if semicolon else ""
        except ValueError:
            return ""


def description_in(body: Part) -> bytes:
    """The SDP, b"" where there is none.  A body of which nothing is said is taken for one: old
    telephones forget to.  Raises `Unsupported`, and `ValueError` where the parts cannot be told apart."""
    if not body.content:
        return b""
    if body.kind == "" and not body.encoding:
        return body.content
    found = _described(body, _DEEPEST)
    if found is None and body.handling != "optional":
        raise Unsupported(f"a body of type {body.kind[:40] or 'unknown'}")
    return found or b""


def _described(body: Part, depth: int) -> bytes | None:
    """None where nothing in it is understood."""
    if body.encoding:
        return None
    if body.kind == SDP_TYPE:
        return body.content
    if not body.kind.startswith("multipart/") or not depth:
        return None
    found: bytes | None = None
    is_optional = True
    for part in _parts(body):
        inner = _described(part, depth - 1)
        if inner is None and part.handling == "required":
            raise Unsupported(f"a part of type {part.kind[:40] or 'unknown'} that has to be understood")
        found = inner if found is None else found
        is_optional = is_optional and part.handling == "optional"
    return b"" if found is None and is_optional else found


def _parts(body: Part) -> list[Part]:
    """RFC 2046 §5.1.1.  The last part may lack the line that closes it."""
    _, semicolon, rest = body.content_type.partition(";")
    boundary = unquote(parameter(parse_parameters(rest), "boundary") or "") if semicolon else ""
    if not boundary or len(boundary) > 70:
        raise ValueError("a body of parts without boundary")
    line = re.escape(boundary.encode("utf-8", "surrogateescape"))
    found = re.split(rb"(?:^|\r\n)--" + line + rb"(--)?[ \t]*(?=\r\n|\Z)", body.content, maxsplit=_MOST_PARTS)
    parts = []
    for closing, content in zip(found[1::2], found[2::2], strict=True):
        if closing:
            break
        parts.append(_part(content))
    if not parts:
        raise ValueError("a body of parts without parts")
    return parts


def _part(text: bytes) -> Part:
    """From behind its boundary, the end of that line included."""
    head, _, content = text.partition(b"\r\n\r\n")
    if text.startswith(b"\r\n\r\n"):
        head, content = b"", text[4:]
    fields: dict[str, str] = {}
    for line in re.sub(rb"\r\n[ \t]+", b" ", head).decode("utf-8", "surrogateescape").split("\r\n"):
        name, _, value = line.partition(":")
        key = name.strip().lower()
        fields.setdefault(_COMPACT.get(key, key), value.strip())
    transfer = fields.get("content-transfer-encoding", "").lower()
    encoding = encoding_of(fields.get("content-encoding")) or ("" if transfer in _UNENCODED else transfer)
    return Part(
        content,
        fields.get("content-type", "text/plain"),
        fields.get("content-disposition", ""),
        encoding,
    )


def encoding_of(content_encoding: str | None) -> str:
    """What Content-Encoding names, as far as it changes anything."""
    named = (content_encoding or "").strip().lower()
    return "" if named == "identity" else named
