"""What pydantic finds wrong, told to a person: where in the file, what it is, what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from callrouter.declared.schema import Schema
from callrouter.declared.source import Path, Problem, Source

_WRONG_KEY = "[key]"
_DESCRIBED = frozenset({"missing", "string_pattern_mismatch", "string_too_short", "string_too_long"})


def problems(error: ValidationError, source: Source, schema: Schema) -> list[Problem]:
    """One problem for each thing that is wrong, each at its line."""
    entries = error.errors(include_url=False)
    paths = [entry["loc"] for entry in entries]
    # A list whose entries are wrong is not also too short for having lost them.
    return [_problem(entry, source, schema) for entry in entries if not _goes_on(entry["loc"], paths)]


def _goes_on(path: Path, paths: list[Path]) -> bool:
    return any(other[: len(path)] == path and len(other) > len(path) for other in paths)


def _problem(entry: Mapping[str, Any], source: Source, schema: Schema) -> Problem:
    path: Path = tuple(entry["loc"])
    if path and path[-1] == _WRONG_KEY:
        path = path[:-1]
        return source.problem(path, f"{path[-1]!r} cannot be a name here; expected {_rule(entry)}")
    kind = entry["type"]
    if kind == "extra_forbidden":
        return source.problem(path, _unknown(str(path[-1]), schema.known_keys(path[:-1])))
    if kind == "value_error":
        return source.problem(path, str(entry["ctx"]["error"]))
    if kind == "too_short":
        least = entry["ctx"]["min_length"]
        if schema.is_secret(path):
            return source.problem(path, f"too short; expected at least {least} characters")
        return source.problem(path, f"too few; expected at least {least}")
    expected = _described(schema, path) if kind in _DESCRIBED else schema.expected(path)
    if kind.startswith("decimal_") and kind != "decimal_parsing":
        expected += " with " + _rule(entry).removeprefix("Decimal input should have ")
    if kind == "missing":
        return source.problem(path, f"missing; expected {expected}")
    if schema.is_secret(path):
        return source.problem(path, f"not acceptable ({_rule(entry)}); expected {expected}")
    return source.problem(path, f"{_shown(entry['input'])}; expected {expected}")


def _described(schema: Schema, path: Path) -> str:
    description = str(schema.at(path).get("description", "")).rstrip(".")
    if not description:
        return schema.expected(path)
    return description[0].lower() + description[1:] if description[:2].istitle() else description


def _unknown(name: str, known: list[str]) -> str:
    if close := difflib.get_close_matches(name, known, n=1):
        return f"unknown key; did you mean {close[0]}?  expected one of {', '.join(known)}"
    return f"unknown key; expected one of {', '.join(known)}"


def _rule(entry: Mapping[str, Any]) -> str:
    return str(entry["msg"]).removeprefix("Input should be ").removeprefix("String should ")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "is a mapping"
    if isinstance(value, list):
        return "is a list"
    return "is empty" if value is None or value == "" else f"is {value!r}"
