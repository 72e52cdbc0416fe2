"""The door's refusals, held against what the core would write."""

from __future__ import annotations

import re

from callrouter._engine import turned_away
from callrouter.sip.protocol import responses
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request, Response, parse

_TAG = re.compile(rb"\r\nTo: [^\r\n]*;tag=([0-9a-f]{16})\r\n")
"""Where it was added: in a To that is no address, none is read."""


def refused(data: bytes, hop: Hop) -> Request | None:
    """The new call that the door turns away, to the octet as the core would; None: the core answers it."""
    written = turned_away(data, hop.host, hop.port)
    if written is None:
        return None
    asked, answer = parse(data.lstrip(b"\r\n")), parse(written)
    assert isinstance(asked, Request)
    assert isinstance(answer, Response)
    assert (asked.flaw, answer.flaw, asked.method, asked.to_tag) == (None, None, "INVITE", ""), written
    later = answer.get("Retry-After") or ""
    assert 10 <= int(later) <= 30
    tag = _TAG.search(written)
    assert tag is not None, written
    fields = (("Retry-After", later),)
    assert written == responses.write(asked, hop, 503, tag=tag[1].decode(), fields=fields), written
    return asked
