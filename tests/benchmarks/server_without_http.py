"""The server with every document at hand, so that what the HTTP client costs can be told from what
the server does: `python -m tests.benchmarks.server_without_http DOCUMENT run --config …`."""

from __future__ import annotations

import sys

from callrouter import app
from callrouter.cli import main
from callrouter.fetch.client import HttpFetcher
from callrouter.ports import CookieJar, FetchedDocument, FetchOrder

DOCUMENT = sys.argv[1].encode() if len(sys.argv) > 1 else b""


class AtHand(HttpFetcher):
    async def document(self, order: FetchOrder, jar: CookieJar) -> FetchedDocument:
        return FetchedDocument(order.url, 200, "text/xml", DOCUMENT, 0)


if __name__ == "__main__":
    setattr(app, "HttpFetcher", AtHand)  # noqa: B010 - the one place that names the class it builds
    sys.exit(main(sys.argv[2:]))
