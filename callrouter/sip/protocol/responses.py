"""Responses as they are written: everything a response copies from its request (RFC 3261 §8.2.6)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from callrouter.sip.protocol.headers.via import stamp
from callrouter.sip.protocol.hop import Hop, default_port, is_same_address
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.status import reason_of


def write(
    request: Request,
    hop: Hop,
    status: int,
    *,
    reason: str = "",
    tag: str = "",
    fields: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """`tag` goes into a To that has none yet.  Routes are recorded where a dialog begins."""
    vias = request.all("Via")
    lines = [
        f"SIP/2.0 {status} {(reason and _phrase(reason)) or reason_of(status)}",
        f"Via: {_stamped(request, hop)}",
    ]
    if len(vias) > 1:
        lines += [f"Via: {value}" for value in vias[1:]]
    if request.method == "INVITE" and 100 < status < 300:
        lines += [f"Record-Route: {value}" for value in request.all("Record-Route")]
    to = request.get("To") or ""
    if tag and not request.to_tag:
        to = f"{to};tag={tag}"
    lines.append(
        f"From: {request.get('From') or ''}\r\nTo: {to}\r\nCall-ID: {request.call_id}\r\n"
        f"CSeq: {request.get('CSeq') or ''}"
    )
    lines += [f"{name}: {value}" for name, value in fields]
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def answer_port(request: Request, hop: Hop) -> int:
    """Port that an answer by UDP goes to, at the address its request came from; 0: the one it came from.
    Who does not ask for that (`rport`, RFC 3581) listens where its Via says (RFC 3261 §18.2.2), unless a
    NAT is in between, which shows in Via naming another address than was seen, or none."""
    if hop.is_reliable:
        return 0
    try:
        via = request.via
    except ValueError:
        return 0
    if via.get("rport") is not None or not is_same_address(via.host, hop.host):
        return 0
    return via.port or default_port(hop.transport)


def _stamped(request: Request, hop: Hop) -> str:
    """The first Via line with `received` and `rport`; one that cannot be read goes back as it is."""
    first = request.get("Via") or ""
    try:
        top = request.via_value
        stamped = stamp(top, request.via, hop.host, hop.port)
    except ValueError:
        return first
    return stamped if top is first else stamped + first.strip()[len(top) :]


def _phrase(text: str) -> str:
    return "".join(c for c in text[:100] if c >= " " and c != "\x7f")


def stateless_tag(request: Request) -> str:
    """The same To tag for each repetition of a request that no state is kept for (§8.2.7)."""
    values = (request.call_id, request.from_tag, request.get("Via") or "")
    return f"{zlib.crc32('|'.join(values).encode('utf-8', 'surrogateescape')):08x}"
