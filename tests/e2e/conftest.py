"""A running server with one number whose documents the test serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.documents import Documents
from tests.e2e.server import Server, one_application

NUMBER = "+15550100"


@pytest.fixture
async def documents() -> AsyncIterator[Documents]:
    async with Documents() as served:
        yield served


@pytest.fixture
async def server(tmp_path: Path, documents: Documents) -> AsyncIterator[Server]:
    """+15550100 runs the document at `/answer`, and tells its status at `/status`."""
    state = one_application(documents.url("/answer"), number=NUMBER, status_callback=documents.url("/status"))
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    documents.on("/status", "")
    async with Server(tmp_path / "server", state, fetch=allowed) as running:
        yield running
