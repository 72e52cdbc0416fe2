"""Bytes of a document → elements.

Whatever comes in, the result is a `Document` or a `DocumentError` with a TwiML error code and a
line.  Nothing is resolved, loaded or expanded: a document type declaration is refused before any XML
parser sees it, so there are no entities but the five of XML.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import cast

from lxml import etree

from callrouter.documents.element import Document, Element
from callrouter.documents.finding import UNEXPECTED, Finding, warning
from callrouter.errors import DocumentError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 64
MAX_VERBS = 200
MAX_ELEMENTS = 1000
MAX_ATTRIBUTES = 64
"""Per element."""

UNPARSABLE = 12100
BAD_VERSION = 12101
BAD_ROOT = 12102
TOO_LARGE = 11750
EMPTY = 11770

_CODECS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "latin-1": "latin-1",
    "iso-8859-2": "iso-8859-2",
    "iso-8859-15": "iso-8859-15",
    "windows-1250": "cp1250",
    "windows-1251": "cp1251",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
}
"""Every encoding accepted.  UTF-7 and the like stay out: they hide markup from whatever looks at bytes."""

_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_MARKLESS_UTF16 = ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_MANY_ATTRIBUTES = 500
_ATTRIBUTE = re.compile(r"=\s*[\"']")
_DECLARED = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_REMEMBERED_BYTES = 4096
_REMEMBERED_DOCUMENTS = 512
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_VERSION_ERROR = etree.ErrorTypes.ERR_UNKNOWN_VERSION


def parse(body: bytes, charset: str = "") -> Document:
    """The document in `body`; `charset` is what the Content-Type says, if anything.

    Raises `DocumentError`."""
    if len(body) > MAX_BYTES:
        raise DocumentError(f"the document has {len(body)} bytes, {MAX_BYTES} are allowed", code=TOO_LARGE)
    return _remembered(body, charset) if len(body) <= _REMEMBERED_BYTES else _parse(body, charset)


def _parse(body: bytes, charset: str) -> Document:
    if not body.strip():
        raise DocumentError("the document is empty; an answer with nothing to do is <Response/>", code=EMPTY)
    text = _decode(body, charset)
    _refuse_doctype(text)
    _refuse_swollen_tag(text)
    root = _parse_xml(text)
    if root.tag != "Response":
        raise DocumentError(_wrong_root(str(root.tag)), code=BAD_ROOT, line=_line(root))
    return _document(root)


_remembered = lru_cache(maxsize=_REMEMBERED_DOCUMENTS)(_parse)
"""Applications answer with the same few small documents again and again."""


def _decode(body: bytes, charset: str) -> str:
    """Mark, then Content-Type, then declaration, then UTF-8 (RFC 7303 §3)."""
    codec = _codec(body, charset)
    try:
        return body.decode(codec)
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise DocumentError(
            f"byte {error.start} is not {codec}: {error.reason}; send the document as UTF-8", line=line
        ) from None


def _codec(body: bytes, charset: str) -> str:
    for mark, codec in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return codec
    if charset:
        return _known_codec(charset)
    for start, codec in _MARKLESS_UTF16:
        if body.startswith(start):
            return codec
    if declared := _DECLARED.match(body):
        codec = _known_codec(declared[1].decode("ascii"))
        # A declaration readable byte by byte cannot be UTF-16, whatever it says: .NET's StringWriter
        # is known to declare its own strings' encoding rather than the one they are sent in.
        return "utf-8" if codec.startswith("utf-16") else codec
    return "utf-8"


def codec_named(charset: str) -> str | None:
    """Python's name of an accepted encoding, None for any other."""
    return _CODECS.get(charset.strip().lower())


def _known_codec(name: str) -> str:
    codec = codec_named(name)
    if codec is None:
        raise DocumentError(f"encoding {name!r} is not supported; send the document as UTF-8", line=1)
    return codec


def _refuse_doctype(text: str) -> None:
    for forbidden in ("<!DOCTYPE", "<!ENTITY"):
        at = text.find(forbidden)
        if at >= 0:
            raise DocumentError(f"{forbidden} is not allowed in a document", line=text.count("\n", 0, at) + 1)


def _refuse_swollen_tag(text: str) -> None:
    """The XML parser compares every attribute of a tag with every other: the count that takes it long
    is refused before, roughly, and `MAX_ATTRIBUTES` exactly, afterwards."""
    if text.count("=") <= _MANY_ATTRIBUTES:
        return
    line = 1
    for piece in text.split("<"):
        if piece.count("=") > _MANY_ATTRIBUTES and len(_ATTRIBUTE.findall(piece)) > _MANY_ATTRIBUTES:
            raise DocumentError(f"a tag has more than {MAX_ATTRIBUTES} attributes", line=line)
        line += piece.count("\n")


def _parse_xml(text: str) -> etree._Element:
    # A parser keeps the errors of its last document, so each document gets its own.
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        code = BAD_VERSION if getattr(error, "code", 0) == _VERSION_ERROR else UNPARSABLE
        raise DocumentError(_reason(error), code=code, line=error.lineno or 0) from None
    except UnicodeEncodeError:
        raise DocumentError("the document contains half of a UTF-16 surrogate pair") from None


def _reason(error: etree.XMLSyntaxError) -> str:
    message = (error.msg or "not well-formed XML").replace("\n", " ")
    return re.sub(r"\s*,? line \d+, column (\d+)$", r" (column \1)", message)


def _wrong_root(tag: str) -> str:
    namespace, _, name = tag.rpartition("}")
    if name == "Response":
        return f"the root element is <Response> of the namespace {namespace[1:]!r}; it must have none"
    if name.lower() == "response":
        return f"the root element is <{name}>; names are case-sensitive, it must be <Response>"
    return f"the root element is <{name}>; it must be <Response>"


def _document(root: etree._Element) -> Document:
    if len(root) > MAX_VERBS:
        raise DocumentError(f"the document has {len(root)} verbs, {MAX_VERBS} are allowed", line=1)
    builder = _Builder()
    response = builder.element(root, 1)
    return Document(response.children, tuple(_stray(response)))


def _stray(response: Element) -> list[Finding]:
    found = [
        warning(response.line, UNEXPECTED, f"attribute {name!r} of <Response> is ignored")
        for name in response.attributes
    ]
    if stray := response.text:
        found.append(warning(response.line, UNEXPECTED, f"text outside of a verb is ignored: {stray[:40]!r}"))
    return found


class _Builder:
    """Turns lxml's tree into elements, counting as it goes."""

    def __init__(self) -> None:
        self._elements = 0

    def element(self, node: etree._Element, depth: int) -> Element:
        line = _line(node)
        self._elements += 1
        if depth > MAX_DEPTH:
            raise DocumentError(f"elements are nested more than {MAX_DEPTH} deep", line=line)
        if self._elements > MAX_ELEMENTS:
            raise DocumentError(f"the document has more than {MAX_ELEMENTS} elements", line=line)
        content: list[Element | str] = [node.text] if node.text else []
        for child in node:
            content.append(self.element(child, depth + 1))
            if child.tail:
                content.append(child.tail)
        return Element(str(node.tag), _attributes(node, line), tuple(content), line)


def _line(node: etree._Element) -> int:
    return cast("int | None", node.sourceline) or 0


def _attributes(node: etree._Element, line: int) -> dict[str, str]:
    attributes = {str(name): str(value) for name, value in node.attrib.items()}
    if len(attributes) > MAX_ATTRIBUTES:
        raise DocumentError(
            f"<{node.tag}> has {len(attributes)} attributes, {MAX_ATTRIBUTES} are allowed", line=line
        )
    if _XML_LANG in attributes:
        attributes["xml:lang"] = attributes.pop(_XML_LANG)
    return attributes
