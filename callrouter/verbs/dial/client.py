"""<Client>: somebody registered here by name (docs/verbs.md)."""

from __future__ import annotations

import re

from callrouter.documents.attributes import Attributes
from callrouter.documents.element import Element
from callrouter.documents.finding import Finding
from callrouter.ports import Parameters
from callrouter.verbs.dial.destination import Destination, Hooks, header

_IDENTITY = re.compile(r"[^\s\x00-\x1f\x7f<>\"]{1,256}")


def parse(element: Element, findings: list[Finding]) -> Destination | None:
    read = Attributes(element, findings)
    hooks = Hooks.read(read, method_code=13221)
    read.unsupported("clientNotificationUrl")
    read.finish(nested=("Identity", "Parameter"))
    identity = element.text
    headers: Parameters = ()
    for child in element.children:
        if child.name == "Identity":
            identity = child.text
        elif child.name == "Parameter":
            headers += _parameter(read, child)
    identity = identity.removeprefix("client:")
    if not _IDENTITY.fullmatch(identity):
        read.warn(13223, f"{identity[:64]!r} is no identity of 1 to 256 characters, it is not dialled")
        return None
    return Destination(
        element.line,
        f"client:{identity}",
        hooks,
        headers=headers,
    )


def _parameter(read: Attributes, element: Element) -> Parameters:
    """A value for the device: it arrives as header `X-<name>` of the INVITE."""
    return header(read, f"X-{element.attributes.get('name', '')}", element.attributes.get("value", ""))
