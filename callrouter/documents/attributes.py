"""Typed reading of an element's attributes.

A value that cannot be used is reported with the line and its code, and the default takes its place;
only what TwiML counts as an error raises.  Attributes
that nobody asked for by the time `finish` is called are unknown and reported with 12200.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, TypeVar

from callrouter.documents.element import Element
from callrouter.documents.finding import UNEXPECTED, Finding, warning
from callrouter.errors import DocumentError

Method = Literal["GET", "POST"]
Word = TypeVar("Word", bound=str)

_LISTED = re.compile(r"[^\s,'\"\[\]()]+")
_LOOSE = frozenset(",'\"[]()")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_BOOLEANS = {"true": True, "false": False}
_MAX_INTEGER_DIGITS = 9
_LONGEST_QUOTE = 120
"""Of a value, in a message."""


class Attributes:
    """Reads the attributes of one element, adding what it finds wrong to `findings`."""

    def __init__(self, element: Element, findings: list[Finding]) -> None:
        self._element = element
        self._findings = findings
        self._unread = set(element.attributes)

    @property
    def line(self) -> int:
        return self._element.line

    def raw(self, name: str) -> str | None:
        """The value as written, None when absent."""
        self._unread.discard(name)
        return self._element.attributes.get(name)

    def text(self, name: str, default: str = "", *, longest: int = 1024, code: int = UNEXPECTED) -> str:
        """Trimmed; too long a value counts as bad."""
        value = self.raw(name)
        if value is None:
            return default
        value = value.strip()
        if len(value) > longest:
            self._bad(name, code, f"has {len(value)} characters, {longest} are allowed", default)
            return default
        return value

    def integer(self, name: str, default: int, *, code: int, least: int, most: int) -> int:
        value = self.raw(name)
        if value is None:
            return default
        number = _integer(value)
        if number is None or not least <= number <= most:
            self._bad(name, code, f"is {_cut(value)!r}, not a whole number from {least} to {most}", default)
            return default
        return number

    def loop(self, code: int) -> int:
        """How often to play; 0 means for ever, which ends at 1000."""
        times = self.integer("loop", 1, code=code, least=0, most=10**_MAX_INTEGER_DIGITS)
        return min(times, 1000) or 1000

    def boolean(self, name: str, default: bool, *, code: int) -> bool:
        value = self.raw(name)
        if value is None:
            return default
        answer = _BOOLEANS.get(value.strip().lower())
        if answer is None:
            self._bad(name, code, f"is {_cut(value)!r}, neither true nor false", str(default).lower())
            return default
        return answer

    def choice(self, name: str, default: Word, allowed: Collection[Word], *, code: int) -> Word:
        value = self.raw(name)
        if value is None:
            return default
        for word in allowed:
            if word == value.strip():
                return word
        self._bad(name, code, f"is {_cut(value)!r}, not one of {', '.join(sorted(allowed))}", default)
        return default

    def choices(
        self, name: str, default: frozenset[str], allowed: Collection[str], *, code: int, fatal: bool = False
    ) -> frozenset[str]:
        """A set of words separated by spaces.  Commas and a list as Python prints it are understood
        too, with a warning: official builders emit them.  An unknown word is dropped,
        or raises `DocumentError` where that is `fatal`."""
        value = self.raw(name)
        if value is None:
            return default
        if _LOOSE.intersection(value):
            self.warn(UNEXPECTED, f"{name} is {_cut(value)!r}; separate its words by spaces")
        words = _LISTED.findall(value)
        unknown = [word for word in words if word not in allowed]
        if unknown:
            message = f"{name} contains {_cut(', '.join(unknown))}; known are {', '.join(sorted(allowed))}"
            if fatal:
                raise self.fail(code, message)
            self.warn(code, message)
        known = frozenset(words).difference(unknown)
        return known or default

    def method(self, name: str = "method", *, code: int) -> Method:
        value = self.raw(name)
        if value is None:
            return "POST"
        match value.strip().upper():
            case "POST":
                return "POST"
            case "GET":
                return "GET"
        self._bad(name, code, f"is {_cut(value)!r}, neither GET nor POST", "POST")
        return "POST"

    def url(self, name: str, *, code: int = 11100) -> str | None:
        """A URL or target, absolute or relative, None when absent.  An unusable one is kept: asking for
        it fails in its time, and that failure has its own verdict."""
        value = self.raw(name)
        if value is None:
            return None
        value = value.strip()
        if _UNPRINTABLE.search(value):
            self.warn(code, f"{name} is {_cut(value)!r}: a URL has no spaces or control characters")
        return value

    def characters(self, name: str, default: str, allowed: str, *, code: int, most: int = 64) -> str:
        """A string made of the characters of `allowed` (keys of a telephone, in any order)."""
        value = self.raw(name)
        if value is None:
            return default
        value = value.strip()
        if len(value) > most or not set(value) <= set(allowed):
            self._bad(name, code, f"is {_cut(value)!r}, not up to {most} of {allowed}", default)
            return default
        return value

    def unsupported(self, *names: str) -> None:
        """Known attributes that have no effect on this server: said aloud, not silently dropped."""
        for name in names:
            if self.raw(name) is not None:
                self.warn(UNEXPECTED, f"{name} has no effect on this server")

    def warn(self, code: int, message: str) -> None:
        """Report something about the element."""
        self._findings.append(warning(self.line, code, f"<{self._element.name}>: {message}"))

    def fail(self, code: int, message: str) -> DocumentError:
        """The error to raise for what TwiML does not count as a warning."""
        return DocumentError(f"<{self._element.name}>: {message}", code=code, line=self.line)

    def finish(self, nested: Collection[str] | None = ()) -> None:
        """Report every attribute that was not asked for, and every child element not in `nested` (None
        where whoever reads the element sees to its children too)."""
        if self._unread:
            names = ", ".join(sorted(self._unread))
            self.warn(UNEXPECTED, f"unknown attribute {_cut(names)}, ignored")
        if nested is None:
            return
        for child in self._element.children:
            if child.name not in nested:
                message = f"<{child.name}> cannot stand inside <{self._element.name}>, ignored"
                self._findings.append(warning(child.line, UNEXPECTED, message))

    def _bad(self, name: str, code: int, problem: str, default: object) -> None:
        self.warn(code, f"{name} {problem}; {default!r} is used" if default != "" else f"{name} {problem}")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


def _integer(value: str) -> int | None:
    digits = value.strip()
    if not digits.isascii() or not digits.isdecimal() or len(digits) > _MAX_INTEGER_DIGITS:
        return None
    return int(digits)
