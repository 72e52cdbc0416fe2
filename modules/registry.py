"""Which modules there are, and which one a URL belongs to.

A URL belongs to the module whose inlet is its longest prefix, cut at a path boundary: an inlet
`https://acme.example/menu` covers `/menu`, `/menu/2` and `/menu?x=1`, not `/menus`.  Both sides are
brought to one spelling first (RFC 3986 §6.2.2), or a module could be used under another's name by
writing its address differently.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote_to_bytes, urlsplit

from modules.module import Module

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SLASHES = re.compile(r"/{2,}")
_UNRESERVED = "!$&'()*+,;=:@~"

Place = tuple[str, str, int]
"""Scheme, host and port."""


class ModuleRegistry:
    """An unchanging set of modules."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self._by_code = {module.code: module for module in modules}
        inlets: defaultdict[Place, list[tuple[str, Module]]] = defaultdict(list)
        for module in self._by_code.values():
            if place := _place(module.inlet):
                inlets[place].append((_path(module.inlet), module))
        # Longest first, so that the first match is the nearest.
        self._inlets = {
            place: sorted(found, key=lambda entry: (-len(entry[0]), entry[1].code))
            for place, found in inlets.items()
        }

    def __iter__(self) -> Iterator[Module]:
        return iter(self._by_code.values())

    def __len__(self) -> int:
        return len(self._by_code)

    def get(self, code: str) -> Module | None:
        return self._by_code.get(code)

    def owner_of(self, url: str, running: str = "") -> Module | None:
        """The module that `url` belongs to by its inlet, None when it is nobody's.  Where several
        have the same inlet, the one with the code `running` is meant."""
        place = _place(url)
        if place is None:
            return None
        path = _path(url)
        matches = [(prefix, m) for prefix, m in self._inlets.get(place, ()) if _covers(prefix, path)]
        if not matches:
            return None
        nearest = matches[0][0]
        equals = [module for prefix, module in matches if prefix == nearest]
        return next((module for module in equals if module.code == running), equals[0])


def _place(url: str) -> Place | None:
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        return None
    if scheme not in _DEFAULT_PORTS or not host:
        return None
    return scheme, _host(host), port if port is not None else _DEFAULT_PORTS[scheme]


def _host(host: str) -> str:
    host = host.lower().rstrip(".")
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _path(url: str) -> str:
    """The path of `url` in one spelling; never ends in a slash, "" is the root."""
    raw = urlsplit(url).path
    decoded = quote(unquote_to_bytes(raw), safe="/" + _UNRESERVED)
    return posixpath.normpath("/" + _SLASHES.sub("/", decoded).lstrip("/")).rstrip("/")


def _covers(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")
