"""What a release says about itself agrees everywhere."""

import re
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import callrouter

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_changelog_ends_at_the_version_of_the_package() -> None:
    versions = re.findall(r"^## \[([^\]]+)\]", CHANGELOG, re.MULTILINE)
    released = [version for version in versions if version != "Unreleased"]
    assert released[0] == PROJECT["version"]


def test_the_package_knows_its_version() -> None:
    assert getattr(callrouter, "__version__", PROJECT["version"]) == PROJECT["version"]


def test_every_dependency_says_why_it_is_there() -> None:
    reasons = (ROOT / "docs/dependencies.md").read_text("utf-8").lower()
    wanted = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    names = [re.split(r"[<>=\[;~! ]", line)[0].lower() for line in wanted]
    assert not [name for name in names if f"`{name}`" not in reasons]


def test_every_dependency_at_run_time_is_imported_somewhere() -> None:
    rooms = ("callrouter", "modules", "dispatcher", "metering")
    sources = [path.read_text("utf-8") for room in rooms for path in (ROOT / room).rglob("*.py")]
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", "\n".join(sources), re.MULTILINE))
    packages: dict[str, set[str]] = {}
    for module, distributions in packages_distributions().items():
        for distribution in distributions:
            packages.setdefault(distribution.lower().replace("_", "-"), set()).add(module)
    names = [re.split(r"[<>=\[;~! ]", line)[0].lower().replace("_", "-") for line in PROJECT["dependencies"]]
    assert not [name for name in names if not packages.get(name, set()) & imported]


def test_every_dependency_of_the_development_environment_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text("utf-8").lower().replace("_", "-")
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    names = [re.split(r"[<>=\[;~! ]", line)[0].lower().replace("_", "-") for line in wanted]
    assert not [name for name in names if not re.search(rf"^{re.escape(name)}==", pins, re.MULTILINE)]


def test_no_dependency_list_names_a_download_host() -> None:
    for file in ("constraints.txt", "pyproject.toml", "Makefile"):
        text = (ROOT / file).read_text("utf-8")
        assert not re.search(r"--(extra-)?index-url|--find-links|https?://", text), file
