"""Reads the parameters of a request: Pascal-case names, repeated keys, lists in one value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal
from urllib.parse import urlsplit

from callrouter.api.compat.errors import BAD_METHOD, BAD_PARAMETER, BAD_URL, bad
from callrouter.api.compat.sip_address import IS_SIP, check_sip_address

_WHOLE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_TARGET_SCHEMES: Final = frozenset(
    {"http", "https", "module", "outlet", "app", "tel", "sip", "sips", "client", "resume"}
)
_MAX_URL: Final = 4000


class Form:
    """Decoded pairs of a body or a query.  The first value of a name counts."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._values)

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, [default])[0].strip()

    def words(self, name: str, default: str) -> frozenset[str]:
        """A set given as repeated keys, or separated by spaces or commas."""
        values = self._values.get(name) or [default]
        return frozenset(word for value in values for word in value.replace(",", " ").split())

    def method(self, name: str) -> Literal["GET", "POST"]:
        match self.text(name, "POST").upper():
            case "GET":
                return "GET"
            case "POST" | "":
                return "POST"
        raise bad(BAD_METHOD, f"{name} has to be GET or POST")

    def whole(self, name: str, default: int, low: int, high: int, code: int = BAD_PARAMETER) -> int:
        text = self.text(name)
        if not text:
            return default
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise bad(code, f"{name} has to be a whole number from {low} to {high}")
        return int(text)

    def flag(self, name: str) -> bool:
        match self.text(name, "false").lower():
            case "true":
                return True
            case "false" | "":
                return False
        raise bad(BAD_PARAMETER, f"{name} has to be true or false")

    def url(self, name: str) -> str:
        """An absolute http(s) URL, or ""."""
        text = self.text(name)
        if text and not _is_url(text, frozenset({"http", "https"})):
            raise bad(BAD_URL, f"{name} is not an absolute http or https URL")
        return text

    def target(self, name: str) -> str:
        """Whatever control can be passed to: a URL or another target URI, or ""."""
        text = self.text(name)
        if text and not _is_url(text, _TARGET_SCHEMES):
            raise bad(BAD_URL, f"{name} is not an absolute URL, nor another target such as module: or app:")
        return check_sip_address(name, text, BAD_URL) if IS_SIP.match(text) else text


def _is_url(text: str, schemes: frozenset[str]) -> bool:
    if len(text) > _MAX_URL:
        return False
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return False
    if parts.scheme not in schemes:
        return False
    return bool(host) if parts.scheme in {"http", "https"} else True
