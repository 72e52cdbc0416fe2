"""What comes in the middle of something, under the fuzzer: requests of the far end within a call that
is up, answers to what we asked, registrations that prove their password.

Our tokens count, so the corpus can name our tags and branches.  Whatever is sent, nothing but a valid
message goes out, no answer is answered, and at the end nothing is left of the call.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from callrouter.ports import MediaAddress, TransferRequested
from callrouter.sip.protocol import auth
from callrouter.sip.protocol.agent import Agent, AgentSettings
from callrouter.sip.protocol.digest_server import DigestServer
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.hop import Hop, Listener
from callrouter.sip.protocol.incoming import NewCall
from callrouter.sip.protocol.message import Request, Response, Unframeable, parse
from callrouter.sip.protocol.outgoing import Invitation
from callrouter.sip.protocol.registrar import Registrar, RegistrarRules
from callrouter.sip.protocol.registration_client import Account, RegistrationClient
from callrouter.sip.protocol.timers import MS

NOW = 10**15
OURS = MediaAddress("192.0.2.2", 5000)
PEER = Hop("udp", "192.0.2.9", 5060)
SECRET = auth.Credentials("alice", "secret")
TAG = "a" * 15 + "1"
"""Ours, in a call they placed."""
INVITE = (
    b"INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKfirst\r\n"
    b"From: <sip:peer@192.0.2.9>;tag=f1\r\nTo: <sip:bob@192.0.2.2>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n"
    b"Contact: <sip:peer@192.0.2.9>\r\nAllow: INVITE, ACK, BYE, UPDATE\r\nSupported: timer\r\n"
    b"Content-Type: application/sdp\r\n\r\n"
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"
)
ACK = (
    b"ACK sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKack\r\n"
    b"From: <sip:peer@192.0.2.9>;tag=f1\r\nTo: <sip:bob@192.0.2.2>;tag=" + TAG.encode() + b"\r\n"
    b"Call-ID: c1\r\nCSeq: 1 ACK\r\n\r\n"
)


def _tokens() -> Callable[[int], str]:
    numbers = itertools.count(1)
    return lambda size: f"{next(numbers):x}".rjust(2 * size, "a")


def _agent() -> Agent:
    agent = Agent(AgentSettings(), _tokens())
    agent.listeners.append(Listener("udp", "192.0.2.2", 5060))
    return agent


def dialog(data: bytes) -> None:
    """Two messages of the far end, told apart by NUL NUL, in a call that is up."""
    agent = _agent()
    agent.receive(parse(INVITE), PEER, NOW)
    session = agent.events[0][0]
    session.answer(OURS, NOW)  # type: ignore[attr-defined]  # a new call's session is an incoming one
    agent.receive(parse(ACK), PEER, NOW)
    now = NOW
    for part in data.split(b"\0\0")[:2]:
        now += MS
        _receive(agent, part, now)
        for _, event in list(agent.events):
            if isinstance(event, TransferRequested):
                session.transfers.settle(event.request, 202, now)
                session.transfers.tell(event.request, 200, now)
        session.hold(True, now)
        agent.events.clear()
    session.hangup("", now)
    _wind_up(agent, now)


def answer(data: bytes) -> None:
    """Two answers to an INVITE of ours, and what is asked of us in return."""
    agent = _agent()
    invitation = Invitation("sip:bob@192.0.2.9", "<sip:us@192.0.2.2>", "us", OURS, credentials=SECRET)
    session = agent.call(invitation, "c1")
    session.start(PEER, NOW)
    now = NOW
    for part in data.split(b"\0\0")[:2]:
        now += MS
        _receive(agent, part, now)
        session.hold(True, now)
    session.hangup("", now)
    _wind_up(agent, now)


def register(data: bytes) -> None:
    """A registration of theirs, whose challenge is answered for them, and an answer to one of ours."""
    agent = _agent()
    server = DigestServer("realm", b"key", _tokens())
    users = {SECRET.username: SECRET.password}
    agent.registrar = Registrar(RegistrarRules(), Domains((), agent.listeners), server, users)
    client = RegistrationClient(
        agent,
        Account("carrier.example", SECRET.username, SECRET.password, 300),
        lambda: [PEER],
        lambda state, why: None,
    )
    client.start(NOW)
    _receive(agent, data, NOW + MS)
    message = _parsed(data)
    if isinstance(message, Request):
        _receive(agent, bytes(_proved(message, server)), NOW + 2 * MS)
        for user in list(agent.registrar.bindings):
            for binding in agent.registrar.bindings.of(user, NOW + 3 * MS):
                Request("INVITE", binding.request_uri, [])
                assert binding.hop.host == PEER.host, binding
    client.stop(NOW + 3 * MS)
    _wind_up(agent, NOW + 3 * MS)


def _proved(request: Request, server: DigestServer) -> Request:
    challenge = auth.Challenge.parse(server.challenge(NOW)[0][1])
    value = auth.answer(
        challenge, SECRET, method=request.method, uri=request.uri, body=b"", cnonce="c", count=1
    )
    fields = [(n, f"{v};again" if n == "Via" else v) for n, v in request.fields]
    return Request(request.method, request.uri, [*fields, ("Authorization", value)], request.body)


def _parsed(data: bytes) -> Request | Response | None:
    try:
        return parse(data)
    except Unframeable:
        return None


def _receive(agent: Agent, data: bytes, now_ns: int) -> None:
    message = _parsed(data)
    if message is None:
        return
    before = len(agent.layer.out)
    agent.receive(message, PEER, now_ns)
    for _, event in list(agent.events):
        if isinstance(event, NewCall):
            event.session.reject(486, "", (), now_ns)
    sent = [parse(packet.data) for packet in agent.layer.out[before:]]
    for each in sent:
        assert each.flaw is None, (each.flaw, bytes(each))
    if isinstance(message, Response):
        assert not any(isinstance(each, Response) for each in sent), "an answer was answered"


def _wind_up(agent: Agent, now_ns: int) -> None:
    """All the time that RFC 3261 gives what is over."""
    for seconds in (1, 40, 80, 120, 180, 260):
        agent.timers.run(now_ns + seconds * 1000 * MS)
    for packet in agent.layer.out:
        sent = parse(packet.data)
        assert sent.flaw is None, (sent.flaw, packet.data)
    left = dict(_left(agent))
    assert not left, left


def _left(agent: Agent) -> Iterator[tuple[str, object]]:
    for name, table in (
        ("sessions", agent.sessions),
        ("servers", agent.layer.servers),
        ("clients", agent.layer.clients),
    ):
        if table:
            yield name, dict(table)
