"""Dialogs before the answer, as a caller knows them: one for each callee that was heard of, where a
proxy on the way forked the INVITE (RFC 3261 §12.1, RFC 3262 §4)."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.grammar import number
from callrouter.sip.protocol.message import Response
from callrouter.sip.protocol.provisionals import OPTION
from callrouter.sip.protocol.stream import Stream

MOST = 32
"""Callees that one INVITE is believed to ring."""


@dataclass(slots=True)
class EarlyDialog:
    dialog: Dialog
    stream: Stream
    is_settled: bool = False
    """Offer and answer are exchanged for good, so an UPDATE may change them."""
    rseq: int = 0
    """Of the last reliable response that came in order; 0 = none yet."""

    def takes(self, response: Response) -> bool:
        """False for a reliable response that is a repetition, or that came before one that is still
        missing: it will come again."""
        if not is_reliable(response):
            return True
        try:
            rseq = number(response.get("RSeq") or "")
        except ValueError:
            return False
        if rseq == 0 or (self.rseq and rseq != self.rseq + 1):
            return False
        self.rseq = rseq
        return True

    def read(self, response: Response) -> bool:
        """Take up its description; True when it brought one that can be used."""
        if self.is_settled or not response.body:
            return False
        try:
            if not response.description:
                return False
            self.stream.agreed = self.stream.read(response.description, is_answer=True)
        except ValueError:
            return False  # the 2xx is judged, not this
        self.is_settled = is_reliable(response)
        return True


def is_reliable(response: Response) -> bool:
    return OPTION in response.tokens("Require") and response.get("RSeq") is not None
