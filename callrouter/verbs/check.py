"""What `callrouter check` says about a document, without a call."""

from __future__ import annotations

from callrouter.documents.finding import Finding, Level
from callrouter.documents.parse import parse
from callrouter.errors import DocumentError
from callrouter.verbs.failing import Failing
from callrouter.verbs.program import compile_document


def check_document(body: bytes) -> list[Finding]:
    """Everything wrong with `body`, by line; one error where it cannot be parsed at all."""
    try:
        program = compile_document(parse(body))
    except DocumentError as error:
        return [Finding(error.line, Level.ERROR, error.code, str(error))]
    errors = [
        Finding(verb.line, Level.ERROR, verb.code, verb.message)
        for verb in program.verbs
        if isinstance(verb, Failing)
    ]
    return sorted([*program.warnings, *errors], key=lambda finding: finding.line)


def describe(name: str, finding: Finding) -> str:
    """As compilers write it: `greeting.xml:3: warning 12200: …`."""
    where = f"{name}:{finding.line}" if finding.line else name
    return f"{where}: {finding.level.value} {finding.code}: {finding.message}"
