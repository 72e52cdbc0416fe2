"""What the product understands is written down, and what is written down it understands."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from callrouter.verbs.registry import VERBS
from metering.prometheus import FIGURES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "callrouter/verbs"
FOLDERS = ("callrouter", "modules", "dispatcher", "metering", "examples", "tests")


def files(top: Path) -> Iterator[tuple[str, str]]:
    """Folder and name of all that stands under `top`, but for what was built there."""
    for folder, below, names in os.walk(top):
        below[:] = [name for name in below if name not in {"target", "node_modules"}]
        yield from ((folder, name) for name in names)


PAGE = (ROOT / "docs/verbs.md").read_text("utf-8")
PAGES = "\n".join(page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md"))
SOURCES = {
    path: path.read_text("utf-8")
    for path in (Path(folder, name) for top in FOLDERS for folder, name in files(ROOT / top))
    if path.suffix in {".py", ".rs"}
}
READERS = frozenset({"text", "raw", "url", "integer", "boolean", "choice", "choices", "characters", "method"})
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))


def sources(verb: str) -> list[Path]:
    folder = FOLDER / verb.lower()
    return sorted(folder.glob("*.py")) if folder.is_dir() else [FOLDER / f"{verb.lower()}.py"]


def attributes(verb: str) -> set[str]:
    """Names that the verb's code reads from its element (and its nouns'), by their literal mention."""
    found = {"recordingStatusCallbackEvent"} if verb in {"Record", "Dial"} else set()
    for node in (node for path in sources(verb) for node in ast.walk(ast.parse(path.read_text("utf-8")))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if not isinstance(node.func.value, ast.Name) or node.func.value.id != "read":
            continue
        if node.func.attr == "loop":
            found.add("loop")
        elif node.func.attr in READERS:
            name = node.args[0] if node.args else ast.Constant("method")
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                found.add(name.value)
    return found


def test_every_verb_has_a_section_and_no_section_invents_one() -> None:
    assert set(SECTIONS) == set(VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_attribute_a_verb_reads_is_documented(verb: str) -> None:
    documented = set(re.findall(r"`(\w+)`", SECTIONS.get(verb, "")))
    assert attributes(verb) <= documented, f"docs/verbs.md, {verb}: {attributes(verb) - documented}"


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"], ids=lambda p: p.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("figure", sorted(FIGURES))
def test_every_figure_is_set_somewhere_and_documented(figure: str) -> None:
    assert re.search(rf"\bcallrouter_{figure}(_total)?\b", PAGES), f"callrouter_{figure} is on no page"
    table = ROOT / "metering/prometheus.py"
    assert any(f'"{figure}"' in text for path, text in SOURCES.items() if path != table)


def test_pages_that_the_sources_name_exist() -> None:
    named = [(path, page) for path, text in SOURCES.items() for page in re.findall(r"[\w/.-]+\.md\b", text)]
    assert not [f"{path.relative_to(ROOT)}: {page}" for path, page in named if not is_page(path, page)]


def is_page(path: Path, page: str) -> bool:
    return any((folder / page).is_file() for folder in (ROOT, ROOT / "docs", path.parent))


def test_every_room_is_on_the_page_about_them() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    rooms = [path.parent.name for path in (ROOT / "callrouter").glob("*/__init__.py")]
    assert not [room for room in rooms if f"{room}/" not in page]


def test_every_example_says_how_to_run_it() -> None:
    folders = [path for path in (ROOT / "examples").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert folders
    assert not [folder.name for folder in folders if not (folder / "README.md").exists()]
