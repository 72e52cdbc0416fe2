"""A parsed document: elements, their attributes and their content in document order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from callrouter.documents.finding import Finding


@dataclass(frozen=True, slots=True)
class Element:
    name: str
    """As written, case and all; `{namespace}name` where it is in a namespace."""
    attributes: Mapping[str, str]
    content: tuple[Element | str, ...]
    """Text and child elements as they follow each other: official builders mix them."""
    line: int

    @property
    def text(self) -> str:
        """The element's own text, without that of its children and without surrounding whitespace."""
        return " ".join(" ".join(part for part in self.content if isinstance(part, str)).split())

    @property
    def children(self) -> tuple[Element, ...]:
        return tuple(part for part in self.content if isinstance(part, Element))

    def walk(self) -> Iterator[Element]:
        """The element and everything below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Document:
    """What stood inside `<Response>`."""

    elements: tuple[Element, ...]
    warnings: tuple[Finding, ...] = ()
