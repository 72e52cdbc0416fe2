"""<Sip>: any SIP endpoint (docs/verbs.md)."""

from __future__ import annotations

import re
from urllib.parse import unquote

from callrouter.documents.attributes import Attributes
from callrouter.documents.element import Element
from callrouter.documents.finding import Finding
from callrouter.ports import Parameters
from callrouter.verbs.dial.destination import Destination, Hooks, detection, header

LONGEST_URI = 255
LONGEST_HEADERS = 1024
LONGEST_CREDENTIAL = 255

_URI = re.compile(r"sips?:(?:[^@\s<>\"]{1,200}@)?[A-Za-z0-9.\-_\[\]:]+(?:;[^\s<>\"]*)?", re.IGNORECASE)
_ALLOWED_HEADERS = frozenset({"user-to-user", "remote-party-id", "p-preferred-identity", "p-called-party-id"})
_PLACEMENT = re.compile(r";(?:region|edge)=[^;?]*", re.IGNORECASE)


def parse(element: Element, findings: list[Finding]) -> Destination | None:
    read = Attributes(element, findings)
    hooks = Hooks.read(read, method_code=13241)
    credentials = _credentials(read)
    wanted = detection(read, method_code=13241)
    read.finish(nested=("Uri", "Headers"))
    text = element.text
    if preferred := _preferred(read, element):
        text = preferred.text
        credentials = _credentials(Attributes(preferred, findings)) or credentials
    bare, _, query = text.partition("?")
    uri = _uri(read, bare)
    if uri is None:
        return None
    username, password = credentials or ("", "")
    return Destination(
        element.line,
        uri,
        hooks,
        username=username,
        password=password,
        headers=_query_headers(read, query) + _child_headers(read, element),
        detection=wanted,
    )


def _credentials(read: Attributes) -> tuple[str, str] | None:
    username = read.text("username", longest=LONGEST_CREDENTIAL, code=13249)
    password = read.text("password", longest=LONGEST_CREDENTIAL, code=13249)
    if bool(username) != bool(password):
        read.warn(13249, "username and password go together, neither is used")
        return None
    return (username, password) if username else None


def _preferred(read: Attributes, element: Element) -> Element | None:
    """Of several <Uri> the one with the lowest priority, then the greatest weight."""
    uris = sorted(
        (child for child in element.children if child.name == "Uri"),
        key=lambda uri: (_number(uri, "priority"), -_number(uri, "weight")),
    )
    if len(uris) > 1:
        read.warn(13250, f"{len(uris)} <Uri>: only the first by priority and weight is dialled")
    return uris[0] if uris else None


def _number(element: Element, name: str) -> int:
    value = element.attributes.get(name, "").strip()
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else 0


def _uri(read: Attributes, text: str) -> str | None:
    if _PLACEMENT.search(text):
        read.warn(32114, "region and edge have no meaning here and are left out of the URI")
        text = _PLACEMENT.sub("", text)
    uri = text if re.match(r"sips?:", text, re.IGNORECASE) else f"sip:{text}"
    if len(uri) > LONGEST_URI or not _URI.fullmatch(uri) or not uri.isascii():
        read.warn(13243, f"{text[:80]!r} is no SIP URI of up to {LONGEST_URI} characters, it is not dialled")
        return None
    scheme, _, rest = uri.partition(":")
    return f"{scheme.lower()}:{rest}"


def _query_headers(read: Attributes, query: str) -> Parameters:
    if len(query) > LONGEST_HEADERS:
        read.warn(13253, f"headers of more than {LONGEST_HEADERS} characters are left out")
        return ()
    headers: Parameters = ()
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        headers += _allowed(read, unquote(name), unquote(value))
    return headers


def _child_headers(read: Attributes, element: Element) -> Parameters:
    headers: Parameters = ()
    for group in element.children:
        for child in group.children if group.name == "Headers" else ():
            headers += _allowed(read, child.attributes.get("name", ""), child.attributes.get("value", ""))
    return headers


def _allowed(read: Attributes, name: str, value: str) -> Parameters:
    if not name.lower().startswith("x-") and name.lower() not in _ALLOWED_HEADERS:
        read.warn(32113, f"header {name[:64]!r} cannot be set; names begin with X-")
        return ()
    return header(read, name, value)
