"""What the fuzzer started from and what it once found (`make fuzz`), each file held to its target."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[1] / "data" / "fuzz"
FILES = [(name, path) for name in TARGETS for path in sorted((CORPUS / name).iterdir())]


@pytest.mark.parametrize(("target", "path"), FILES, ids=lambda v: v if isinstance(v, str) else v.name[:24])
def test_nothing_that_was_found_comes_back(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("folder", ["rfc4475", "rfc5118"])
@pytest.mark.parametrize("target", ["message", "framer"])
def test_torture_messages_break_no_target(target: str, folder: str) -> None:
    for path in sorted((CORPUS.parent / folder).glob("*.dat")):
        TARGETS[target](path.read_bytes())
