"""One core, and a peer that sends it whatever a test writes."""

from __future__ import annotations

from typing import Any, TypeVar

from callrouter.ports import SignalEvent
from callrouter.sip.protocol.agent import Agent, AgentSettings
from callrouter.sip.protocol.hop import Hop, Listener
from callrouter.sip.protocol.incoming import IncomingSession, NewCall, Replaced
from callrouter.sip.protocol.message import Request, Response, Unframeable, parse
from tests.narrowing import as_a
from tests.protocol.wire import CALLEE_MEDIA, SECOND, counting_tokens

E = TypeVar("E")

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    "m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)
SDP_TYPE = "Content-Type: application/sdp"
CONTACT = "Contact: <sip:peer@192.0.2.9>"
ANSWER = (CONTACT, SDP_TYPE)
"""Headers of a reply with a description."""


def text(
    method: str = "INVITE",
    *lines: str,
    uri: str = "sip:bob@192.0.2.2",
    branch: str = "z9hG4bK1",
    call_id: str = "c1",
    cseq: str = "",
    to_tag: str = "",
    from_tag: str = "f1",
    body: str = "",
) -> str:
    """A request; `lines` are further headers."""
    head = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.9:5060;branch={branch}",
        f"From: <sip:peer@192.0.2.9>;tag={from_tag}",
        "To: <sip:bob@192.0.2.2>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq or '1 ' + method}",
        "Max-Forwards: 70",
        *lines,
        f"Content-Length: {len(body.encode())}",
    ]
    return "\r\n".join(head) + "\r\n\r\n" + body


def invite(*lines: str, body: str = OFFER, **more: str) -> str:
    return text("INVITE", CONTACT, SDP_TYPE, *lines, body=body, **more)


def reply(request: Request | Response, status: int, *lines: str, tag: str = "t1", body: str = "") -> str:
    """The answer to a request of ours; `lines` are further headers."""
    head = [f"SIP/2.0 {status} Whatever", f"Via: {request.get('Via')}", f"From: {request.get('From')}"]
    to = request.get("To") or ""
    head += [f"To: {to}" if "tag=" in to else f"To: {to};tag={tag}"]
    head += [f"Call-ID: {request.get('Call-ID')}", f"CSeq: {request.get('CSeq')}", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body


class Stranger:
    def __init__(self, transport: str = "udp", **settings: Any) -> None:
        self.agent = Agent(AgentSettings(user_agent="ours", **settings), counting_tokens("a"))
        self.agent.listeners.append(Listener(transport, "192.0.2.2", 5060))
        self.hop = Hop(transport, "192.0.2.9", 5060)
        self.now = 1_000 * SECOND
        self.calls: list[IncomingSession] = []
        self.events: list[SignalEvent | Replaced] = []

    def send(self, message: str | bytes) -> list[Request | Response]:
        """What comes back at once."""
        data = message.encode() if isinstance(message, str) else message
        try:
            self.agent.receive(parse(data), self.hop, self.now)
        except Unframeable:
            return []
        return self.take()

    def take(self) -> list[Request | Response]:
        for _, event in self.agent.events:
            if isinstance(event, NewCall):
                self.calls.append(event.session)
            else:
                self.events.append(event)
        self.agent.events.clear()
        packets = list(self.agent.layer.out)
        self.agent.layer.out.clear()
        return [parse(packet.data) for packet in packets]

    def told_last(self, kind: type[E]) -> E:
        """The newest event, which has to be a `kind`."""
        return as_a(kind, self.events[-1])

    def picks_up(self) -> Response:
        """Our end answers its first call, which the stranger acknowledges; our 200."""
        self.calls[0].answer(CALLEE_MEDIA, self.now)
        (ok,) = self.take()
        assert isinstance(ok, Response)
        assert ok.status == 200
        self.send(text("ACK", to_tag=ok.to_tag, cseq="1 ACK", branch="z9hG4bKack"))
        return ok

    def run(self, duration: int) -> list[Request | Response]:
        end = self.now + duration
        sent = []
        while (due := self.agent.timers.next_ns) is not None and due <= end:
            self.now = due
            self.agent.timers.run(due)
            sent += self.take()
        self.now = end
        return sent

    def status(self, message: str | bytes) -> int:
        """Of the one response; 0 when there is none."""
        sent = [m for m in self.send(message) if isinstance(m, Response)]
        assert len(sent) <= 1, sent
        return sent[0].status if sent else 0
