"""Telephones are tested in virtual time, which stands still while they read and write files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from callrouter.testing.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], VirtualTimeLoop]]:
    return {"virtual": VirtualTimeLoop}
