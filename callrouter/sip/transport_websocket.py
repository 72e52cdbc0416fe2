"""SIP over WebSockets (RFC 7118): browsers open them, one SIP message is one WebSocket message.

The WebSocket protocol itself is `websockets`' own sans-IO core, so that these connections are
accepted, counted, bounded and written to exactly like all others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus

from websockets.exceptions import InvalidHeader, InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.http11 import Response as Answer
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol

from callrouter.sip.connection import Connection, ConnectionOwner
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import MAX_BODY, MAX_HEAD, Unframeable, parse

_VERSION = "13"
_PROTOCOL_ERROR = 1002
_TOO_BIG = 1009
_GOING_AWAY = 1001
_MAX_MESSAGE = MAX_HEAD + MAX_BODY
_MAX_FRAGMENTS = 256
"""Of one message: empty ones cost memory and add no size."""
_MAX_HANDSHAKE = 16384
_PONG = b"\r\n"


class WebSocket(Connection):
    def __init__(self, owner: ConnectionOwner, hop: Hop, origins: Sequence[str] = ()) -> None:
        """`origins`: pages that may connect, all of them if empty."""
        super().__init__(owner, hop, is_ours=False)
        allowed: list[Origin | re.Pattern[str] | None] = [Origin(one) for one in origins]
        self._socket = ServerProtocol(
            origins=allowed or None, subprotocols=[Subprotocol("sip")], max_size=_MAX_MESSAGE
        )
        self._fragments: list[bytes | bytearray | memoryview] = []
        self._handshake_octets = 0
        self._pinged = 0.0

    # -- what arrives

    def feed(self, data: bytes) -> None:
        socket = self._socket
        if socket.state is State.CONNECTING:
            self._handshake_octets += len(data)
            if self._handshake_octets > _MAX_HANDSHAKE:
                self.drop("handshake")
                return
        socket.receive_data(data)
        events = socket.events_received()
        for event in events:
            if isinstance(event, Handshake):
                socket.send_response(self._answer_to(event))
                if socket.state is not State.OPEN:
                    self._owner.dropped(self, "handshake")
            elif isinstance(event, Frame):
                self._take(event)
        if socket.parser_exc is not None and not isinstance(socket.parser_exc, EOFError):
            self._owner.dropped(self, "protocol")
        self._flush()
        # Octets that complete nothing are part of a frame, or of the handshake.
        self.watch(is_partial=not events or bool(self._fragments))

    def _answer_to(self, handshake: Handshake) -> Answer:
        """Who speaks another version, or one from before they were numbered, is told which one we
        speak (RFC 6455 §4.4)."""
        answer = self._socket.accept(handshake)
        error = self._socket.handshake_exc
        if isinstance(error, InvalidHeader) and error.name == "Sec-WebSocket-Version":
            answer = self._socket.reject(
                HTTPStatus.UPGRADE_REQUIRED, f"{error}: this is version {_VERSION}\n"
            )
            answer.headers["Upgrade"] = "websocket"
            answer.headers["Sec-WebSocket-Version"] = _VERSION
        return answer

    def _take(self, frame: Frame) -> None:
        """A message is complete with its last fragment; control frames the core has dealt with."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        self._fragments.append(frame.data)
        if frame.fin:
            data, self._fragments = b"".join(self._fragments), []
            self._message(data)
        elif len(self._fragments) >= _MAX_FRAGMENTS:
            self._fail(_TOO_BIG, "too many fragments")

    def _message(self, data: bytes) -> None:
        if not data.strip(b"\r\n"):
            if data == b"\r\n\r\n":  # the ping of RFC 5626, which some phones send here too
                self.prove()
                self.write(_PONG)
            return
        try:
            message = parse(data)
        except Unframeable as error:
            self._owner.malformed(error, self)
            self._fail(_PROTOCOL_ERROR, "not a SIP message")
            return
        self.deliver(message)

    # -- what leaves

    def write(self, data: bytes) -> None:
        """Text wherever the message is some: most browser phones expect no other."""
        try:
            if _is_text(data):
                self._socket.send_text(data)
            else:
                self._socket.send_binary(data)
        except InvalidState as error:
            raise OSError("the WebSocket is closed") from error
        self._flush()

    def _flush(self) -> None:
        for data in self._socket.data_to_send():
            if data:
                super().write(data)
            else:
                super().close()

    # -- patience

    def _patience(self) -> float:
        limits = self._owner.limits
        return limits.ping_seconds if self.is_proven else limits.first_seconds

    def _ring(self) -> None:
        """Browsers cannot ping, so we do (RFC 7118 §6); whoever does not answer is gone."""
        now = self._loop.time()
        if not self.is_proven:
            self.drop("silent")
        elif self._pinged > self._heard:
            self.drop("idle")
        elif now - self._heard < self._patience():
            self._set_alarm(self._heard + self._patience() - now)
        else:
            self._pinged = now
            if self._socket.state is State.OPEN:
                self._socket.send_ping(b"")
                self._flush()
            self._set_alarm(self._patience())

    # -- the end

    def _fail(self, code: int, reason: str) -> None:
        self._owner.dropped(self, "protocol")
        self._socket.fail(code, reason)
        self._flush()

    def close(self) -> None:
        if self._socket.state is State.OPEN:
            self._socket.send_close(_GOING_AWAY)
            self._flush()
        super().close()


def _is_text(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
