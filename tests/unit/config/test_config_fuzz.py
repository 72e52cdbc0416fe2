"""Whatever a file contains, it is a configuration or refused as one."""

from __future__ import annotations

import contextlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from callrouter.config import parse_config
from callrouter.declared.rows import rows
from callrouter.errors import ConfigurationError

SHIPPED = (Path(__file__).parents[3] / "config.yaml").read_text()
LINES = SHIPPED.splitlines(keepends=True)


def _tried(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        rows(parse_config(text, file="config.yaml", environment={}), "USD")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    _tried(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SHIPPED)), st.integers(0, 12), st.text(max_size=6)), max_size=4))
def test_the_shipped_file_with_pieces_replaced(edits: list[tuple[int, int, str]]) -> None:
    text = SHIPPED
    for at, length, put in edits:
        text = text[:at] + put + text[at + length :]
    _tried(text)


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, len(LINES) - 1), max_size=6))
def test_the_shipped_file_with_lines_missing(gone: set[int]) -> None:
    _tried("".join(line for number, line in enumerate(LINES) if number not in gone))
