"""Rooms import each other in one direction only; the contracts are in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
ROOMS = sorted(
    f"callrouter.{path.stem}"
    for path in (ROOT / "callrouter").iterdir()
    if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
)


def test_every_import_contract_is_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [linter, "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("room", [*ROOMS, "modules", "dispatcher", "metering"])
def test_every_room_is_under_a_contract(room: str) -> None:
    named = {
        name.strip()
        for contract in CONTRACTS
        for member in ("layers", "modules", "source_modules", "forbidden_modules")
        for names in contract.get(member, ())
        for name in names.split("|")
    }
    assert room in named
