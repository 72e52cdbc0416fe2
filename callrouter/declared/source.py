"""YAML read with the line of every key kept, so that whatever is wrong can be pointed at.

Scalars stay the text that was written and are given their type by the settings they are for: YAML's
own guesses turn `+15550100` into a number, `no` into false and a price into a float.  Only `null`,
`~` and nothing at all are None.  `${NAME}` is replaced by an environment variable, `${NAME:-else}`
by its value or `else`; `$${` stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from callrouter.errors import ConfigurationError

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file."""

_VARIABLE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_MAX_DEPTH = 32
_MAX_PARTS = 200_000
"""Keys, list items and values, aliases followed: ten aliases of ten aliases of … stop here."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a file."""

    line: int
    """1-based, 0 when it belongs to no line."""
    path: str
    """`addresses.+15550100.target`, "" for the file as a whole."""
    what: str
    """What is wrong; what was expected."""

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" if self.path else self.what


def refuse(file: str, problems: list[Problem]) -> ConfigurationError:
    """All of `problems` as one error, in the order of the file; its `line` is the first one's."""
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.line)
    first, *others = ordered
    more = [f"{file}:{p.line}: {p}" if p.line else f"{file}: {p}" for p in others]
    return ConfigurationError("\n".join([str(first), *more]), file=file, line=first.line)


def dotted(path: Path) -> str:
    """`path` as it is shown: `trunks.0.host` reads `trunks[0].host`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(slots=True)
class Source:
    """A file's content and where each part of it stands."""

    file: str
    data: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, path: Path) -> int:
        """Line of `path`, or of the nearest part around it that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def problem(self, path: Path, what: str) -> Problem:
        return Problem(self.line_of(path), dotted(path), what)


def read_source(text: str, *, file: str, environment: Mapping[str, str]) -> Source:
    """Parse `text`.  Raises `ConfigurationError` listing everything that is wrong with it as YAML:
    syntax, keys given twice, variables that are not set."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = f"not YAML: {error.problem or error.context or 'unreadable'}; expected `key: value` lines"
        raise refuse(file, [Problem(mark.line + 1 if mark else 0, "", what)]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise refuse(file, [Problem(0, "", f"not YAML: {error}".replace("\n", " "))]) from None
    reader = _Reader(environment)
    try:
        data = {} if node is None or _is_null(node) else reader.value(node, ())
    except _TooLarge as error:
        raise refuse(file, [error.problem]) from None
    if not isinstance(data, dict):
        reader.problems.append(Problem(1, "", "the file is no mapping; expected `key: value` lines"))
    if reader.problems:
        raise refuse(file, reader.problems)
    return Source(file, data, reader.lines)


class _TooLarge(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._environment = environment
        self._parts = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        """Raises `_TooLarge` when aliases have multiplied what is written beyond all use."""
        line = node.start_mark.line + 1
        self._parts += 1
        if self._parts > _MAX_PARTS:
            what = f"aliases (`*name`) make this more than {_MAX_PARTS:,} values; expected fewer"
            raise _TooLarge(Problem(line, dotted(path[:4]), what))
        self.lines.setdefault(path, line)
        if len(path) > _MAX_DEPTH:  # an alias inside of what it stands for never ends
            self.problems.append(Problem(line, dotted(path[:4]), f"nested deeper than {_MAX_DEPTH}"))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return None if _is_null(node) else self._substituted(node.value, path, line)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(line, dotted(path), "a key is no text; expected a name"))
                continue
            key = key_node.value
            here = (*path, key)
            if key in found:
                first = self.lines[here]
                self.problems.append(
                    Problem(line, dotted(here), f"given twice (first on line {first}); expected once")
                )
                continue
            self.lines[here] = line
            found[key] = self.value(value_node, here)
        return found

    def _substituted(self, text: str, path: Path, line: int) -> str:
        def replaced(match: re.Match[str]) -> str:
            if match[1]:
                return match[1]
            value = self._environment.get(match[2], match[3])
            if value is None:
                self.problems.append(
                    Problem(
                        line,
                        dotted(path),
                        f"environment variable {match[2]} is not set; "
                        f"set it, or write ${{{match[2]}:-default}}",
                    )
                )
                return ""
            return value

        return _VARIABLE.sub(replaced, text)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS
