"""A transfer token in the INVITE of a call we place, for who asks with a parameter of its address:
`sip:agent@host;callrouter-transfer=module%3Aacme.survey`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from callrouter.calls.call import Call
    from callrouter.calls.services import Services

_PARAMETER = re.compile(r";callrouter-transfer=([^;?]*)", re.IGNORECASE)
_UNSENDABLE = re.compile(r"[\x00-\x20<>\x7f]")
_SCHEMES = ("sip:", "sips:")


def without(uri: str) -> str:
    """`uri` as it is called: the parameter is for us alone."""
    return _PARAMETER.sub("", uri) if uri.lower().startswith(_SCHEMES) else uri


def fields(services: Services, call: Call, uri: str) -> tuple[tuple[str, str], ...]:
    """The headers with which whoever is called at `uri` may move the call: that of the one who dials,
    or where the API dials this one."""
    found = _PARAMETER.search(uri) if uri.lower().startswith(_SCHEMES) else None
    target = unquote(found[1]) if found is not None else ""
    if not target or _UNSENDABLE.search(target):
        return ()
    now_ms = services.clock.monotonic_ns() // 1_000_000
    expires_ms = now_ms + services.settings.max_call_seconds * 1000
    token = services.transfers.issue(call.facts.parent_sid or call.sid, target, expires_ms)
    return ("Callrouter-Token", token), ("Callrouter-Target", f"<{target}>")
