"""Sizes, wording and leftovers of the source tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("callrouter", "modules", "dispatcher", "metering")
MAX_LINES = 500
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
LEFTOVERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
UNREASONED = re.compile(r"# type: (?:ignore)(?!\[[\w, -]+\]  # \w)|# (?:noqa)(?!: [A-Z\d, ]+ - \w)")
"""An ignore says what it ignores, and why."""


def python_sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(path for path in found if "target" not in path.parts)


def rust_sources() -> list[Path]:
    found = (ROOT / "callrouter").rglob("*.rs")
    return sorted(path for path in found if "target" not in path.parts)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


EVERYTHING = [*python_sources(*PACKAGES, "examples", "tests"), *rust_sources()]
PRODUCT = [*python_sources(*PACKAGES, "examples"), *rust_sources()]


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_a_file_fits_its_noun(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name(path)} has {lines} lines; {MAX_LINES} is the limit: split it by noun"


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_a_file_is_named_after_what_it_is_about(path: Path) -> None:
    assert not DRAWERS & {part.removesuffix(path.suffix) for part in path.relative_to(ROOT).parts}


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_nothing_is_left_for_later(path: Path) -> None:
    found = [
        f"{name(path)}:{number}: {line.strip()}"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if LEFTOVERS.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", python_sources(*PACKAGES, "examples", "tests"), ids=name)
def test_what_is_ignored_is_ignored_for_a_reason(path: Path) -> None:
    lines = enumerate(path.read_text("utf-8").splitlines(), 1)
    assert not [f"{name(path)}:{number}: {line.strip()}" for number, line in lines if UNREASONED.search(line)]


@pytest.mark.parametrize("path", python_sources(*PACKAGES), ids=name)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert not tree.body or ast.get_docstring(tree), f"{name(path)} has no docstring"


def broad_excepts(path: Path) -> Iterator[int]:
    """Lines of `except:`, `except Exception` and `except BaseException` whose body does nothing."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ExceptHandler):
            continue
        broad = node.type is None or (
            isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
        )
        if broad and all(isinstance(step, ast.Pass) for step in node.body):
            yield node.lineno


@pytest.mark.parametrize("path", python_sources(*PACKAGES), ids=name)
def test_no_error_is_swallowed_whole(path: Path) -> None:
    assert not list(broad_excepts(path))


@pytest.mark.parametrize("path", python_sources(*PACKAGES), ids=name)
def test_no_task_is_started_and_forgotten(path: Path) -> None:
    """A task whose result nobody keeps may be collected in mid-flight, and its error never seen."""
    forgotten = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and (
            node.value.func.attr == "ensure_future"
            or (
                node.value.func.attr == "create_task"
                and isinstance(node.value.func.value, ast.Name)
                and node.value.func.value.id in {"asyncio", "loop"}
            )
        )
    ]
    assert not forgotten, f"{name(path)}: lines {forgotten}"
