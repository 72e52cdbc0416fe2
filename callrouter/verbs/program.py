"""A document made ready to run."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.documents.content import read
from callrouter.documents.element import Document, Element
from callrouter.documents.finding import UNEXPECTED, Finding, warning
from callrouter.errors import DocumentError
from callrouter.ports import Verb
from callrouter.verbs.failing import Failing
from callrouter.verbs.registry import VERBS

MOST_WARNINGS = 100
"""Of one document: each is written down and shown, a broken template has them by the thousand."""


@dataclass(frozen=True, slots=True)
class Program:
    """Verbs in the order they run, and what is wrong with the document they came from.  What is too
    wrong to run is no warning but a `Failing` verb, which tells when its turn comes."""

    verbs: tuple[Verb, ...]
    warnings: tuple[Finding, ...] = ()


def compile_body(body: bytes, content_type: str, url: str = "") -> Program:
    """The program of an HTTP answer that came from `url` (needed where it is audio: the file to play).

    Raises `DocumentError`."""
    return compile_document(read(body, content_type, url))


def compile_document(document: Document) -> Program:
    """Unknown elements are reported and skipped; a verb that cannot run fails when its turn comes."""
    findings = list(document.warnings)
    verbs = [verb for element in document.elements if (verb := _verb(element, findings)) is not None]
    findings.sort(key=lambda finding: finding.line)
    return Program(tuple(verbs), tuple(findings[:MOST_WARNINGS]))


def _verb(element: Element, findings: list[Finding]) -> Verb | None:
    parse = VERBS.get(element.name)
    if parse is None:
        findings.append(warning(element.line, UNEXPECTED, _unknown(element.name)))
        return None
    try:
        return parse(element, findings)
    except DocumentError as error:
        return Failing(error.line or element.line, error.code, str(error))


def _unknown(name: str) -> str:
    for known in VERBS:
        if known.lower() == name.lower():
            return f"<{name}> is unknown, skipped; names are case-sensitive: <{known}>"
    return f"<{name}> is unknown, skipped"
