"""What the settings accept, in words: for error messages and for the reference page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from callrouter.declared.source import Path

Node = Mapping[str, Any]
"""A JSON schema, as pydantic derives it from a model."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key that a file may have."""

    path: str
    """`sip.listen[].port`, `accounts.<name>.sid`."""
    kind: str
    """What it holds, in words."""
    default: str
    """As written in a file, "" where there is none."""
    required: bool
    description: str


class Schema:
    """The schema of one model."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._root: Node = model.model_json_schema(by_alias=True)

    def at(self, path: Path) -> Node:
        """The schema of what stands at `path`; empty where nothing may stand."""
        node = self._resolved(self._root)
        for part in path:
            node = self._resolved(_below(node, part))
        return node

    def known_keys(self, path: Path) -> list[str]:
        """Keys of the mapping at `path`."""
        return list(self.at(path).get("properties", {}))

    def expected(self, path: Path) -> str:
        """What stands at `path`, in words."""
        return _in_words(self.at(path))

    def is_secret(self, path: Path) -> bool:
        return bool(self.at(path).get("writeOnly"))

    def keys(self, path: str, node: Node | None = None) -> Iterator[Key]:
        """All keys below the top-level key `path`, in the order of the file."""
        node = self._resolved(node if node is not None else self._root["properties"][path])
        required = node.get("required", ())
        for name, raw in node.get("properties", {}).items():
            child = self._resolved(raw)
            here = f"{path}.{name}"
            yield Key(
                here,
                _in_words(child),
                _default(child),
                name in required,
                child.get("description", ""),
            )
            yield from self._inner(here, child)
        if "properties" not in node:
            yield from self._inner(path, node)

    def _inner(self, path: str, node: Node) -> Iterator[Key]:
        item = self._resolved(node.get("items", {}))
        if item.get("properties"):
            yield from self.keys(f"{path}[]", item)
        entry = self._resolved(_entry(node))
        if entry.get("properties"):
            yield from self.keys(f"{path}.<name>", entry)
        if node.get("properties"):
            yield from self.keys(path, node)

    def _resolved(self, node: Node) -> Node:
        """`node` with references followed and "or nothing" left out; what it says itself (its
        description) outweighs what it refers to."""
        if "anyOf" in node:
            some = [option for option in node["anyOf"] if option.get("type") != "null"]
            if len(some) == 1:
                rest = {name: value for name, value in node.items() if name != "anyOf"}
                return {**self._resolved(some[0]), **rest}
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**self._resolved(self._root["$defs"][name]), **rest}
        return node


def _below(node: Node, part: str | int) -> Node:
    if isinstance(part, int):
        items: Node = node.get("items", {})
        return items
    found: Node | None = node.get("properties", {}).get(part)
    return found if found is not None else _entry(node)


def _entry(node: Node) -> Node:
    """Schema of the values of a mapping whose keys are names."""
    for values in node.get("patternProperties", {}).values():
        if isinstance(values, Mapping):
            return values
    values = node.get("additionalProperties", {})
    return values if isinstance(values, Mapping) else {}


def _in_words(node: Node) -> str:
    if "enum" in node:
        return f"one of {', '.join(str(value) for value in node['enum'])}"
    if "const" in node:
        return str(node["const"])
    kind = node.get("type")
    if kind == "integer":
        return "a whole number" + _range(node)
    if "anyOf" in node:  # a decimal: a number, or the text of one
        return "a number" + _range(node["anyOf"][0])
    if kind == "number":
        return "a number" + _range(node)
    if kind == "string":
        return _TEXTS.get(node.get("format", ""), "text")
    return _WORDS.get(str(kind), "a value")


_WORDS = {"boolean": "true or false", "array": "a list", "object": "a mapping"}
_TEXTS = {
    "path": "a path",
    "date-time": "a time such as 2026-01-31T12:00:00Z",
    "password": "a secret",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
}


def _range(node: Node) -> str:
    low = node.get("minimum")
    high = node.get("maximum")
    above = node.get("exclusiveMinimum")
    if low is not None and high is not None:
        return f" from {_plain(low)} to {_plain(high)}"
    if above is not None and high is not None:
        return f" above {_plain(above)}, at most {_plain(high)}"
    for limit, words in ((low, "of at least"), (above, "above"), (high, "of at most")):
        if limit is not None:
            return f" {words} {_plain(limit)}"
    return ""


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _default(node: Node) -> str:
    value = node.get("default")
    if value is None or isinstance(value, list | dict) or node.get("writeOnly"):
        return _composite(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _composite(value: Any) -> str:
    """Only short lists of plain values are worth showing."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return f"[{', '.join(value)}]"
    return ""
