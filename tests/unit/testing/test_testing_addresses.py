"""Two suites at once on one machine never take each other's ports."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

from tests.e2e.addresses import Claims

NEIGHBOUR = """
import sys
from tests.e2e.addresses import Claims
claims = Claims(sys.argv[1])
print([port for port in range(30_000, 30_010) if claims.take(port)])
"""


def neighbour(name: str) -> str:
    """What another process can still take of ten ports; all of it goes back when it ends."""
    command = [sys.executable, "-c", NEIGHBOUR, name]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    return done.stdout.strip()


def test_what_one_has_taken_another_does_not_get_until_it_is_let_go() -> None:
    name = secrets.token_hex(8)
    claims = Claims(name, kept=4)
    assert [claims.take(port) for port in range(30_000, 30_004)] == [True] * 4
    assert neighbour(name) == str([*range(30_004, 30_010)])
    assert claims.take(30_004)
    assert neighbour(name) == str([30_000, *range(30_005, 30_010)])
