"""Messages out of a stream (RFC 3261 §18.3): the same head parser as for datagrams, then exactly
Content-Length octets."""

from __future__ import annotations

from callrouter.sip.protocol.message import MAX_HEAD, Flaw, Request, Response, Unframeable, parse_head


class Framer:
    """Feed it what arrives, take messages out.

    After a message with a fatal flaw nothing more comes: where the next one would start is unknown,
    and the connection has to be closed once that one has been answered."""

    __slots__ = ("_buffer", "_head", "_scanned", "broken", "pings")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._head: Request | Response | None = None
        self.broken = False
        """The stream cannot be read any further."""
        self.pings = 0
        """Double-CRLF keep-alives (RFC 5626 §3.5.1) not yet answered; the reader resets it."""

    @property
    def is_partial(self) -> bool:
        """A message has begun and is not complete."""
        return self._head is not None or bool(self._buffer.strip(b"\r\n"))

    def feed(self, data: bytes) -> list[Request | Response]:
        """Raises `Unframeable` when the stream does not carry SIP; messages before that point are
        returned first, with `broken` set."""
        if self.broken:
            return []
        buffer = self._buffer
        buffer += data
        messages: list[Request | Response] = []
        while not self.broken:
            try:
                if self._head is None and not self._take_head():
                    break
            except Unframeable:
                if not messages:
                    raise
                break
            message = self._head
            if message is None:
                continue
            length = message.length or 0
            if not self.broken and len(buffer) < length:
                break
            if not self.broken:
                message.body = bytes(buffer[:length])
                message.wire += message.body
                del buffer[:length]
            self._head = None
            messages.append(message)
        return messages

    def _take_head(self) -> bool:
        """True when a head was moved from the buffer to `_head`."""
        buffer = self._buffer
        self._skip_keepalives()
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            if len(buffer) > MAX_HEAD:
                self.broken = True
                raise Unframeable("the header block has no end")
            self._scanned = max(0, len(buffer) - 3)
            return False
        try:
            message = parse_head(bytes(buffer[:end]))
        except Unframeable:
            self.broken = True
            raise
        if message.length is None:
            message.flaw = message.flaw or Flaw("Content-Length is missing on a stream", fatal=True)
        message.wire = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        self._scanned = 0
        self._head = message
        self.broken = message.flaw is not None and message.flaw.fatal
        return True

    def _skip_keepalives(self) -> None:
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            if buffer.startswith(b"\r\n\r\n"):
                self.pings += 1
                del buffer[:4]
            elif len(buffer) == 2:
                return  # the other half of a ping, or an empty line before a message
            else:
                del buffer[:2]
