"""SIP over TCP and TLS: connections that frame their own messages."""

from __future__ import annotations

from callrouter.sip.connection import Connection, ConnectionOwner
from callrouter.sip.protocol.framer import Framer
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Unframeable

_PONG = b"\r\n"


class Stream(Connection):
    def __init__(self, owner: ConnectionOwner, hop: Hop, *, is_ours: bool) -> None:
        super().__init__(owner, hop, is_ours=is_ours)
        self._framer = Framer()

    def feed(self, data: bytes) -> None:
        framer = self._framer
        try:
            messages = framer.feed(data)
        except Unframeable as error:
            self._owner.malformed(error, self)
            self.close()
            return
        if framer.pings:
            self._answer_pings()
        for message in messages:
            self.deliver(message)
        if framer.broken:
            self.close()
        else:
            self.watch(is_partial=framer.is_partial)

    def _answer_pings(self) -> None:
        """One pong does for all that came together (RFC 5626 §3.5.1)."""
        self._framer.pings = 0
        self.prove()
        try:
            self.send(_PONG)
        except OSError:
            return  # closed meanwhile, which its owner is told anyway

    def eof_received(self) -> bool:
        """What has come is answered first, which is what whoever closes one half waits for.  TLS
        knows no halves in asyncio: there goes out what is answered at once."""
        self.stop_watching()
        self.is_ending = self._owner.ended(self) and not self.hop.is_secret
        return self.is_ending
