"""The official client, sent to a server of ours: everything but the host stays as it asks."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response


class Elsewhere(TwilioHttpClient):  # type: ignore[misc]  # the client says nothing of its types
    def __init__(self, base: str) -> None:
        super().__init__(pool_connections=False)
        self._base = base

    def request(self, method: str, url: str, *arguments: Any, **named: Any) -> Response:
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        response: Response = super().request(method, f"{self._base}{parts.path}{query}", *arguments, **named)
        return response
