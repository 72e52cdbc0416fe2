"""What was said on each call, kept in memory for people to look at.

Bounded by calls and octets.  Only an INVITE that is being dealt with opens an account, so that
registrations, health checks and scanners push nobody's call out; of those that have to go, calls
that are over go first.  What proves an identity or opens a medium is masked before it is shown.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import NamedTuple

from callrouter.ports import TracedMessage
from callrouter.sip.protocol.grammar import displayable
from callrouter.sip.protocol.hop import Hop, is_response
from callrouter.sip.protocol.message import Request, Response

_KEPT = 12
"""Messages at the beginning of a call that stay when later ones have to go."""
_MAX_KEY = 256
_CALL_ID = b"\r\nCall-ID: "
_OVER = (b"BYE ", b"CANCEL ", *(b"SIP/2.0 %d" % status for status in (3, 4, 5, 6)))
_GOES_ON = tuple(b"SIP/2.0 %d" % status for status in (401, 407, 491))
_SECRETS = re.compile(
    r"^((?:proxy-)?authorization[ \t]*:[ \t]*\w+)[^\r\n]*(?:\r\n[ \t][^\r\n]*)*"
    r"|^(a=crypto:\d+ \S+ inline:)[^\r\n]*"
    r"|^(a=ice-pwd:)[^\r\n]*"
    r"|^(a=key-mgmt:\S+)[^\r\n]*"
    r"|^(k=)[^\r\n]*"
    r"|^(callrouter-token[ \t]*:)[^\r\n]*"
    r"|(\"token\"[ \t]*:[ \t]*\")[^\"\r\n]*(?=\")"
    r"|(\bsips?:[^:@;>\s\"]+:)[^@>\s\"]+(?=@)",
    re.IGNORECASE | re.MULTILINE,
)
MASK = "***"


class _Entry(NamedTuple):
    number: int
    at_ns: int
    is_sent: bool
    hop: Hop
    data: bytes


class _Call:
    __slots__ = ("dropped", "entries", "octets")

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self.octets = 0
        self.dropped = 0


class Trace:
    def __init__(self, calls: int, octets: int, call_octets: int) -> None:
        """`calls`: how many to keep, 0 = none; `octets`: of all of them; `call_octets`: of one."""
        self._max_calls = calls
        self._max_octets = octets
        self._max_call_octets = call_octets
        self._live: OrderedDict[str, _Call] = OrderedDict()
        self._over: OrderedDict[str, _Call] = OrderedDict()
        self._octets = 0
        self._number = 0

    @property
    def is_on(self) -> bool:
        return self._max_calls > 0

    def knows(self, call_id: str) -> bool:
        return call_id in self._live or call_id in self._over

    def received(
        self, message: Request | Response, hop: Hop, at_ns: int, *, is_accepted: bool = False
    ) -> None:
        """`is_accepted`: this INVITE is worth an account of its own."""
        self._record(message.call_id, message.wire, hop, at_ns, is_sent=False, opens=is_accepted)

    def sent(self, data: bytes, hop: Hop, at_ns: int) -> None:
        start = data.find(_CALL_ID) + len(_CALL_ID)
        if start >= len(_CALL_ID):
            call_id = data[start : data.find(b"\r\n", start)].decode("utf-8", "surrogateescape")
            self._record(call_id, data, hop, at_ns, is_sent=True, opens=data.startswith(b"INVITE "))

    def of(self, call_id: str) -> tuple[tuple[TracedMessage, ...], int]:
        """What is left of a call, in order, and how many messages are not.  `call_id` as people are
        shown it."""
        call = self._live.get(call_id) or self._over.get(call_id)
        if call is None:
            return (), 0
        return tuple(_shown(call_id, entry) for entry in call.entries), call.dropped

    def _record(self, call_id: str, data: bytes, hop: Hop, at_ns: int, *, is_sent: bool, opens: bool) -> None:
        key = (call_id if call_id.isascii() else displayable(call_id))[:_MAX_KEY]
        call = self._live.get(key) or self._over.get(key)
        if call is None:
            if not opens:
                return
            call = self._live[key] = _Call()
        self._number += 1
        call.entries.append(_Entry(self._number, at_ns, is_sent, hop, data))
        call.octets += len(data)
        self._octets += len(data)
        if data.startswith(_OVER) and _ends(data):
            self._live.pop(key, None)
            self._over[key] = call
        elif opens and key in self._over:
            self._live[key] = self._over.pop(key)
        if call.octets > self._max_call_octets:
            self._shorten(call)
        if opens or self._octets > self._max_octets:
            self._make_room()

    def _shorten(self, call: _Call) -> None:
        while call.octets > self._max_call_octets and len(call.entries) > 1:
            gone = call.entries.pop(min(_KEPT, len(call.entries) - 2))
            call.octets -= len(gone.data)
            self._octets -= len(gone.data)
            call.dropped += 1

    def _make_room(self) -> None:
        while len(self._live) + len(self._over) > self._max_calls or self._octets > self._max_octets:
            _, oldest = (self._over or self._live).popitem(last=False)
            self._octets -= oldest.octets


def _ends(data: bytes) -> bool:
    """A refusal ends a call only if it refuses the INVITE, and for good."""
    return not is_response(data) or (not data.startswith(_GOES_ON) and b" INVITE\r\n" in data)


def _shown(call_id: str, entry: _Entry) -> TracedMessage:
    text = entry.data.decode("utf-8", "replace")
    return TracedMessage(
        number=entry.number,
        at_ns=entry.at_ns,
        call_id=call_id,
        is_sent=entry.is_sent,
        transport=entry.hop.transport,
        host=entry.hop.host,
        port=entry.hop.port,
        text=masked(text),
    )


def masked(text: str) -> str:
    """`text` of a message without its secrets: credentials, keys of media, passwords in addresses."""

    def mask(found: re.Match[str]) -> str:
        kept = next(group for group in found.groups() if group is not None)
        return f"{kept}{' ' if kept[-1].isalnum() else ''}{MASK}"

    return _SECRETS.sub(mask, text)
