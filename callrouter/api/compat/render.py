"""Answers as JSON or XML, whichever the path's suffix asks for (XML without one).

{"account_sid": "AC…", "subresource_uris": {…}}
<TwilioResponse><Call><AccountSid>AC…</AccountSid><SubresourceUris>…</SubresourceUris></Call></TwilioResponse>
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from lxml import etree

from callrouter.api.compat.errors import RestError

Resource = Mapping[str, Any]

PAGING: Final = (
    ("page", "page"),
    ("page_size", "pagesize"),
    ("start", "start"),
    ("end", "end"),
    ("uri", "uri"),
    ("first_page_uri", "firstpageuri"),
    ("previous_page_uri", "previouspageuri"),
    ("next_page_uri", "nextpageuri"),
)
"""Keys of a page and the attributes they are in XML."""

# What XML 1.0 cannot carry.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def resource(request: web.Request, name: str, fields: Resource, status: int = 200) -> web.Response:
    """One resource; `name` is its element in XML, such as `Call`."""
    if wants_json(request):
        return _json(fields, status)
    return _xml(_element(name, fields), status)


def page(request: web.Request, key: str, name: str, envelope: Resource) -> web.Response:
    """A page of resources, which `envelope` has under `key` (`calls`), each a `name` (`Call`) in XML."""
    if wants_json(request):
        return _json(envelope, 200)
    root = etree.Element(_camel(key))
    for field, attribute in PAGING:
        value = envelope[field]
        root.set(attribute, "" if value is None else str(value))
    for record in envelope[key]:
        root.append(_element(name, record))
    return _xml(root, 200)


def error(request: web.Request, failure: RestError) -> web.Response:
    """The error envelope.  Never `type` and `title` together: clients take that for another format."""
    fields = {
        "code": failure.code,
        "message": failure.message,
        "more_info": f"https://www.twilio.com/docs/errors/{failure.code}",
        "status": failure.status,
    }
    if wants_json(request):
        return _json(fields, failure.status)
    return _xml(_element("RestException", fields), failure.status)


def wants_json(request: web.Request) -> bool:
    return request.path.endswith(".json")


def _json(fields: Resource, status: int) -> web.Response:
    body = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def _xml(element: etree._Element, status: int) -> web.Response:
    root = etree.Element("TwilioResponse")
    root.append(element)
    body = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return web.Response(body=body, status=status, content_type="application/xml", charset="utf-8")


def _element(name: str, value: Any) -> etree._Element:
    element = etree.Element(name)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            element.append(_element(_camel(key), inner))
    elif isinstance(value, bool):
        element.text = str(value).lower()
    elif value is not None:
        element.text = _UNPRINTABLE.sub("\ufffd", str(value))
    return element


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
