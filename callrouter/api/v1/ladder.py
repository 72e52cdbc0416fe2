"""SIP messages as a ladder: a column for each party, an arrow for each message."""

from __future__ import annotations

from collections.abc import Iterator

from callrouter.ports import TracedMessage

_US = "callrouter"
_STEP = 38
"""Characters from one column to the next."""
_MARGIN = 13


class Ladder:
    """Takes messages in order and gives lines of text; a new party gets a column, and all columns
    their names again."""

    def __init__(self) -> None:
        self._parties: list[str] = []
        self._start_ns: int | None = None
        self._said: set[tuple[bool, str, str]] = set()

    def lines(self, message: TracedMessage) -> Iterator[str]:
        if self._start_ns is None:
            self._start_ns = message.at_ns
        peer = peer_of(message)
        if peer not in self._parties:
            # The first party on the left, us beside it, those we call to the right.
            self._parties += [peer] if self._parties else [peer, _US]
            yield ""
            yield self._names()
        yield self._arrow(message, peer)

    def _names(self) -> str:
        line = ""
        for index, party in enumerate(self._parties):
            at = max(_column(index) - len(party) // 2, len(line) + 1 if line else 0)
            line = line.ljust(at) + party
        return line

    def _arrow(self, message: TracedMessage, peer: str) -> str:
        here, there = _column(1), _column(self._parties.index(peer))
        left, right = min(here, there), max(here, there)
        to_the_right = (there > here) == message.is_sent
        room = right - left - 1
        again = " again" if self._was_said(message, peer) else ""
        label = f" {summary(message)[: room - 6 - len(again)]}{again} "
        shaft = label.center(room - 1, "-")
        cells = list(" " * (_column(len(self._parties) - 1) + 1))
        for index in range(len(self._parties)):
            cells[_column(index)] = "|"
        cells[left + 1 : right] = f"{shaft}>" if to_the_right else f"<{shaft}"
        seconds = (message.at_ns - (self._start_ns or 0)) / 1e9
        return f"{seconds:+10.3f}".ljust(_MARGIN) + "".join(cells)[_MARGIN:]

    def _was_said(self, message: TracedMessage, peer: str) -> bool:
        """A repetition: the first was lost, or its answer was, or the network doubled it."""
        said = (message.is_sent, peer, message.text)
        known = said in self._said
        self._said.add(said)
        return known


def _column(index: int) -> int:
    return _MARGIN + index * _STEP + 8


def peer_of(message: TracedMessage) -> str:
    """The other end, and how it is reached."""
    host = f"[{message.host}]" if ":" in message.host else message.host
    return f"{message.transport}:{host}:{message.port}"


def summary(message: TracedMessage) -> str:
    """`INVITE (SDP)`, `180 Ringing`, `200 OK to BYE`."""
    head, _, body = message.text.partition("\r\n\r\n")
    start = head.partition("\r\n")[0]
    if start.startswith("SIP/2.0 "):
        method = method_of(message)
        words = start[8:] if method == "INVITE" else f"{start[8:]} to {method}"
    else:
        words = start.partition(" ")[0]
    return f"{words} (SDP)" if body.startswith("v=") else words


def method_of(message: TracedMessage) -> str:
    """Of the request, or of the request that a response answers."""
    start, _, rest = message.text.partition("\r\n")
    if not start.startswith("SIP/2.0 "):
        return start.partition(" ")[0]
    for line in rest.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() == "cseq":
            return value.split()[-1] if value.split() else ""
        if not line:
            break
    return ""
