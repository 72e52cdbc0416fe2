"""What the fuzzer throws bytes at, and what must hold whatever they are.

Each target takes bytes and raises only where the program is wrong: an error type that callers do
not expect, a message that does not read as it was written, a stream that is understood differently
when it arrives in pieces.  `python -m tests.fuzz` feeds them; a test feeds them what was found once.
"""

from __future__ import annotations

from collections.abc import Callable

from callrouter.ports import MediaAddress
from callrouter.sip.protocol import auth, offer, sdp
from callrouter.sip.protocol.addresses import is_unspecified, may_send
from callrouter.sip.protocol.agent import Agent, AgentSettings
from callrouter.sip.protocol.anchoring import anchored
from callrouter.sip.protocol.bodies import Part, description_in
from callrouter.sip.protocol.digest_server import DigestServer, Verdict
from callrouter.sip.protocol.framer import Framer
from callrouter.sip.protocol.hop import Hop, Listener
from callrouter.sip.protocol.incoming import NewCall
from callrouter.sip.protocol.message import Message, Request, Unframeable, parse
from callrouter.sip.protocol.offer import Description
from callrouter.sip.protocol.shield import Shield, ShieldSettings
from callrouter.sip.protocol.timers import MS
from callrouter.sip.protocol.validate import check
from tests.fuzz.conversations import answer, dialog, register
from tests.fuzz.headers import header
from tests.protocol.turned_away import refused

NOW = 10**15
OURS = MediaAddress("192.0.2.2", 5000)
FAR = "203.0.113.9"
HOP = Hop("udp", "192.0.2.9", 5060)


def token(size: int) -> str:
    return "5a" * size


# -- messages


def message(data: bytes) -> None:
    """Read, judged, written and read again; then given to a user agent that answers every call, and
    whose own messages must be faultless; and turned away at the door as the core would."""
    try:
        read = parse(data)
    except Unframeable:
        return
    if isinstance(read, Request) and check(read) is None:
        again = parse(bytes(read))
        assert again.flaw is None, again.flaw
        assert _content(again) == _content(read)
    _converse(data)
    refused(data, HOP)


def _content(message: Message) -> tuple[object, ...]:
    return [f for f in message.fields if f[0] != "Content-Length"], message.body


def _agent() -> Agent:
    agent = Agent(AgentSettings(), token)
    agent.listeners.append(Listener("udp", "192.0.2.2", 5060))
    agent.shield = Shield(ShieldSettings(), token, lambda host: False)
    return agent


def _converse(data: bytes) -> None:
    agent = _agent()
    agent.receive(parse(data), HOP, NOW)
    for _, event in agent.events:
        if isinstance(event, NewCall):
            event.session.progress(OURS, NOW)
            event.session.answer(OURS, NOW)
            event.session.hangup("", NOW)
    agent.events.clear()
    agent.receive(parse(data), HOP, NOW + MS)
    agent.timers.run(NOW + 70_000 * MS)
    for packet in agent.layer.out:
        sent = parse(packet.data)
        assert sent.flaw is None, (sent.flaw, packet.data)


# -- streams


def framer(data: bytes) -> None:
    """However a stream is cut, the same messages come out of it."""
    whole = _framed([data])
    step = (data[0] if data else 0) % 61 + 1
    assert _framed([data[i : i + step] for i in range(0, len(data), step)]) == whole


def _framed(pieces: list[bytes]) -> tuple[list[object], bool]:
    reader = Framer()
    found: list[object] = []
    for piece in pieces:
        try:
            found += [(bytes(m), m.flaw) for m in reader.feed(piece)]
        except Unframeable:
            return found, True
    return found, reader.broken


# -- session descriptions


def session_description(data: bytes) -> None:
    """What can be agreed to is answered with something that the same reader agrees to; whoever is far
    away names no neighbour of ours."""
    try:
        description = sdp.parse(data)
    except ValueError:
        return
    for line in anchored(description, FAR).media:
        assert is_unspecified(line.host) or may_send(line.host, FAR)
        assert line.reports is None or may_send(line.reports.host, FAR) or is_unspecified(line.reports.host)
    try:
        agreed = offer.agree(description)
    except ValueError:
        return
    ours = Description(1, 1, OURS)
    for body in (offer.write_answer(ours, agreed), offer.write_offer(ours, agreed.audio.direction)):
        again = offer.agree(sdp.parse(body))
        assert again.audio.remote == OURS
        if body.startswith(offer.write_answer(ours, agreed)):
            assert (again.audio.codec, again.slot) == (agreed.audio.codec, agreed.slot)
            assert len(again.lines) == len(agreed.lines)


# -- bodies


def body(data: bytes) -> None:
    """The first line is the Content-Type.  What is found in a body stands in it, whole, and the same
    body around it is one it is found in too."""
    kind, _, content = data.partition(b"\n")
    try:
        found = description_in(Part(content, kind.decode("utf-8", "surrogateescape")))
    except ValueError:
        return
    assert found in content
    if found and b"\r\n--outer" not in content:
        wrapped = b"--outer\r\nContent-Type: application/sdp\r\n\r\n" + found + b"\r\n--outer--\r\n"
        assert description_in(Part(wrapped, "multipart/mixed; boundary=outer")) == found


# -- digests


def digest(data: bytes) -> None:
    """Challenges are answered or not understood; an answer is right only to who knows the password."""
    text = data.decode("utf-8", "surrogateescape")
    known = auth.strongest([text])
    if known is not None:
        written = auth.answer(
            known,
            auth.Credentials("alice", "secret"),
            method="INVITE",
            uri="sip:bob@192.0.2.2",
            body=b"",
            cnonce="c",
            count=1,
        )
        assert "\r" not in written
        auth.parse_digest(written)
    server = DigestServer("realm", b"key", token)
    fields = [("CSeq", "1 INVITE"), ("Authorization", text)]
    request = Request("INVITE", "sip:bob@192.0.2.2", fields)
    verdict = server.judge(request, {"alice": "secret"}.get, NOW).verdict
    assert verdict in (Verdict.ABSENT, Verdict.WRONG, Verdict.STALE)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "message": message,
    "framer": framer,
    "sdp": session_description,
    "body": body,
    "digest": digest,
    "header": header,
    "dialog": dialog,
    "answer": answer,
    "register": register,
}
