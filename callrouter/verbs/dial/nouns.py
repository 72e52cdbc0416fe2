"""What may stand inside <Dial>."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from callrouter.documents.element import Element
from callrouter.documents.finding import UNEXPECTED, Finding, warning
from callrouter.verbs.dial import client, number, sip
from callrouter.verbs.dial.destination import Destination

MOST = 10
"""Destinations of one Dial."""

NOUNS: Mapping[str, Callable[[Element, list[Finding]], Destination | None]] = {
    "Client": client.parse,
    "Number": number.parse,
    "Sip": sip.parse,
}

_ALONE = frozenset({"Conference", "Queue"})
_UNAVAILABLE = frozenset({"Conference", "Queue", "Sim", "Application", "WhatsApp"})


def destinations(element: Element, findings: list[Finding]) -> tuple[Destination, ...]:
    """In document order; text between nouns is a number too, as official builders write it.  What
    cannot be dialled is reported and left out."""
    found: list[Destination] = []
    for part in element.content:
        destination = _text(part, element.line, findings) if isinstance(part, str) else _noun(part, findings)
        if destination is not None:
            found.append(destination)
    if found and any(child.name in _ALONE for child in element.children):
        findings.append(warning(element.line, 13000, "<Dial>: a room or queue cannot be mixed with others"))
    if len(found) > MOST:
        message = f"<Dial>: {len(found)} destinations, only the first {MOST} are dialled"
        findings.append(warning(element.line, 13250, message))
    return tuple(found[:MOST])


def _text(text: str, line: int, findings: list[Finding]) -> Destination | None:
    return number.parse_text(text.strip(), line, findings) if text.strip() else None


def _noun(element: Element, findings: list[Finding]) -> Destination | None:
    if parse := NOUNS.get(element.name):
        return parse(element, findings)
    if element.name in _UNAVAILABLE:
        message = f"<Dial>: <{element.name}> is not available on this server, it is not dialled"
        findings.append(warning(element.line, UNEXPECTED, message))
    else:
        findings.append(warning(element.line, 13215, f"<Dial>: <{element.name}> cannot stand inside"))
    return None
