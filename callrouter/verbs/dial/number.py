"""<Number>, and plain text in <Dial>: a telephone number (docs/verbs.md)."""

from __future__ import annotations

import re

from callrouter.documents.attributes import Attributes
from callrouter.documents.element import Element
from callrouter.documents.finding import Finding, warning
from callrouter.verbs.dial.destination import Destination, Hooks, detection

SENDABLE = "0123456789ABCDabcd#*wW"
MAX_SEND_DIGITS = 64

_PUNCTUATION = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]")
_DIALLABLE = re.compile(r"\+?[0-9]{1,32}|[0-9*#]{1,32}")


def normalise(text: str) -> str | None:
    """`text` in E.164 where it can be told, else as it is without punctuation; None if it is no number.

    Bare numbers of 10 digits, and of 11 beginning with 1, are of the North American plan; 011 is its
    international prefix."""
    number = _PUNCTUATION.sub("", text)
    if not number.isascii() or not _DIALLABLE.fullmatch(number):
        return None
    if number.startswith("011") and len(number) > 10:
        return f"+{number[3:]}"
    if number.isdecimal() and len(number) == 10:
        return f"+1{number}"
    if number.isdecimal() and len(number) == 11 and number.startswith("1"):
        return f"+{number}"
    return number


def parse_text(text: str, line: int, findings: list[Finding]) -> Destination | None:
    number = normalise(text)
    if number is None:
        findings.append(
            warning(line, 13223, f"<Dial>: {text[:64]!r} is no telephone number, it is not dialled")
        )
        return None
    return Destination(line, f"tel:{number}")


def parse(element: Element, findings: list[Finding]) -> Destination | None:
    read = Attributes(element, findings)
    hooks = Hooks.read(read, method_code=13221)
    send_digits = read.characters("sendDigits", "", SENDABLE, code=13222, most=MAX_SEND_DIGITS)
    wanted = detection(read, method_code=13221)
    read.unsupported("byoc")
    read.finish()
    number = normalise(element.text)
    if number is None:
        read.warn(13223, f"{element.text[:64]!r} is no telephone number, it is not dialled")
        return None
    return Destination(
        element.line,
        f"tel:{number}",
        hooks,
        send_digits=send_digits,
        detection=wanted,
    )
