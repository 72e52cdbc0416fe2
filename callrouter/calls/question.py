"""The dispatcher's question about a call, and what its targets are relative to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from callrouter.errors import DocumentError
from dispatcher.grant import Request
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller

INLINE = "inline:"
"""The dispatcher's target for a document that came with an API request."""
RESUME = "resume:"
"""The dispatcher's target for the document that waits behind its Dial."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def resolve(base: str, url: str) -> str:
    """`url` as an absolute target, relative ones against `base`.  Raises `DocumentError` 11100."""
    url = url.strip()
    if _SCHEME.match(url):
        return url
    if not base:
        raise DocumentError(
            f"{url or 'an empty URL'} is relative, but the document came without a URL of its own", code=11100
        )
    return urljoin(base, url) if url else base


def request_for(controller: Controller, target: str, cause: Cause, **changes: object) -> Request:
    """The dispatcher's question about this call."""
    call = controller.call
    facts: dict[str, Any] = {
        "target": target,
        "cause": cause,
        "call_sid": call.sid,
        "session_sid": call.facts.session_sid,
        "account_sid": call.facts.account_sid,
        "key_number": call.facts.key_number,
        "caller": call.from_,
        "callee": call.to,
        "current": controller.control,
        "now_ms": controller.services.clock.utc_ms(),
    }
    return Request(**facts | changes)
