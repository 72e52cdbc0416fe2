"""What to do with an answer, by its content type."""

from __future__ import annotations

from callrouter.documents.element import Document, Element
from callrouter.documents.parse import EMPTY, TOO_LARGE, codec_named, parse
from callrouter.errors import DocumentError

XML_TYPES = frozenset({"text/xml", "application/xml", "text/html", "application/xhtml+xml"})
UNUSABLE_TYPE = 12300


def read(body: bytes, content_type: str, url: str = "") -> Document:
    """The instructions in an answer: the document itself, or one made up for audio (to be had at
    `url`) and for plain text.  Raises `DocumentError`."""
    media_type, charset = split_content_type(content_type)
    if media_type in XML_TYPES:
        return parse(body, charset)
    if media_type.startswith("audio/"):
        return _then_hang_up(Element("Play", {}, (url,), 0))
    if media_type == "text/plain":
        return _plain(body, charset)
    said = f"Content-Type is {media_type!r}" if media_type else "there is no Content-Type"
    raise DocumentError(f"{said}; answer with text/xml, an audio type or text/plain", code=UNUSABLE_TYPE)


def split_content_type(header: str) -> tuple[str, str]:
    """`text/xml; charset="utf-8"` → `("text/xml", "utf-8")`; absent parts are ""."""
    media_type, *parameters = header.split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return media_type.strip().lower(), value.strip().strip("\"'")
    return media_type.strip().lower(), ""


def _plain(body: bytes, charset: str) -> Document:
    try:
        return parse(body, charset)
    except DocumentError as error:
        if error.code in (EMPTY, TOO_LARGE):
            raise
    text = body.decode(codec_named(charset) or "utf-8", "replace")
    return _then_hang_up(Element("Say", {}, (text,), 1))


def _then_hang_up(verb: Element) -> Document:
    return Document((verb, Element("Hangup", {}, (), verb.line)))
