"""Within calls that a carrier has placed to us: what it may ask us to prove, and who else may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from callrouter.sip.protocol.admission import PEER, Admission, Origin, OriginKind
from callrouter.sip.protocol.auth import Challenge, Credentials, parse_digest, response_of
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.validate import Refusal
from tests.narrowing import as_a, only, those
from tests.protocol.stranger import CONTACT, OFFER, SDP_TYPE, Stranger, invite, reply, text
from tests.protocol.test_sip_dialog import placed, sent_methods
from tests.protocol.test_sip_proof import CHALLENGE
from tests.protocol.wire import SECOND

OURS = Credentials("me", "secret")
CARRIER = Origin(OriginKind.TRUNK, "carrier")
TIMED = ("Allow: INVITE, UPDATE, INFO", "Supported: timer", "Session-Expires: 90;refresher=uas")


class Admitting(Admission):
    """Takes whoever calls for `origin`."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def judge(self, request: Request, source: Hop, now_ns: int) -> Origin | Refusal:
        return self._origin


def called(origin: Origin = CARRIER) -> tuple[Stranger, IncomingSession]:
    """A call of `origin` that is up."""
    stranger = Stranger()
    agent = stranger.agent
    agent.settings = replace(agent.settings, credentials_of_trunks={"carrier": OURS})
    agent.admission = Admitting(origin)
    stranger.send(invite(*TIMED))
    stranger.picks_up()
    stranger.events.clear()
    return stranger, stranger.calls[0]


def bye(stranger: Stranger, session: IncomingSession) -> None:
    session.hangup("Q.850;cause=16", stranger.now)


def hold(stranger: Stranger, session: IncomingSession) -> None:
    session.hold(True, stranger.now)


def press(stranger: Stranger, session: IncomingSession) -> None:
    session.press("5", stranger.now)


def refer(stranger: Stranger, session: IncomingSession) -> None:
    session.transfers.refer("sip:carol@192.0.2.9", "", stranger.now)


def refresh(stranger: Stranger, session: IncomingSession) -> None:
    session.refresh(stranger.now)


def tell(stranger: Stranger, session: IncomingSession) -> None:
    asked = ("Refer-To: <sip:carol@192.0.2.9>", CONTACT)
    stranger.send(
        text("REFER", *asked, to_tag=session.local_tag, cseq="2 REFER", branch="z9hG4bKr", from_tag="f1")
    )
    session.transfers.settle(2, 202, stranger.now)


ASKS = {"BYE": bye, "INVITE": hold, "UPDATE": refresh, "INFO": press, "REFER": refer, "NOTIFY": tell}


def sent_by(stranger: Stranger, ask: Callable[[Stranger, IncomingSession], None]) -> Request:
    ask(stranger, stranger.calls[0])
    (request,) = those(Request, stranger.take())
    return request


def assert_proves(request: Request, header: str, challenge: str) -> None:
    given = parse_digest(request.get(header) or "")
    assert (given["username"], given["uri"]) == ("me", request.uri)
    expected = response_of(
        Challenge.parse(challenge),
        OURS,
        method=request.method,
        uri=request.uri,
        body=request.body,
        cnonce=given["cnonce"],
        nc=given["nc"],
    )
    assert given["response"] == expected


@pytest.mark.parametrize("method", ASKS)
@pytest.mark.parametrize("qop", ["auth", "auth-int"])
@pytest.mark.parametrize(
    ("status", "asks", "answers"),
    [(401, "WWW-Authenticate", "Authorization"), (407, "Proxy-Authenticate", "Proxy-Authorization")],
)
def test_whatever_we_ask_of_it_is_proved_once(
    method: str, qop: str, status: int, asks: str, answers: str
) -> None:
    stranger, _ = called()
    first = sent_by(stranger, ASKS[method])
    assert first.method == method
    challenge = CHALLENGE.replace('qop="auth"', f'qop="{qop}"')
    again = as_a(Request, stranger.send(reply(first, status, f"{asks}: {challenge}"))[-1])
    assert (again.method, again.body) == (method, first.body)
    assert again.cseq.number == first.cseq.number + 1
    assert_proves(again, answers, challenge)
    refused = stranger.send(reply(again, status, f"{asks}: {challenge}"))
    assert sent_methods(refused) == (["ACK"] if method == "INVITE" else [])


def test_a_proxy_and_the_server_behind_it_may_both_ask() -> None:
    stranger, _ = called()
    first = sent_by(stranger, bye)
    second = only(Request, stranger.send(reply(first, 407, f"Proxy-Authenticate: {CHALLENGE}")))
    behind = CHALLENGE.replace("carrier", "behind").replace("n1", "n9")
    third = only(Request, stranger.send(reply(second, 401, f"WWW-Authenticate: {behind}")))
    assert_proves(third, "Authorization", behind)
    assert_proves(third, "Proxy-Authorization", CHALLENGE)


def test_later_its_realm_alone_is_answered() -> None:
    stranger, _ = called()
    info = sent_by(stranger, press)
    proven = only(Request, stranger.send(reply(info, 401, f"WWW-Authenticate: {CHALLENGE}")))
    stranger.send(reply(proven, 200))
    asked = CHALLENGE.replace("carrier", "thief")
    assert stranger.send(reply(sent_by(stranger, bye), 401, f"WWW-Authenticate: {asked}")) == []


def test_what_goes_elsewhere_never_carries_the_password() -> None:
    """A Contact at another address must not collect a digest of our secret."""
    stranger, session = called()
    moved = ("Contact: <sip:thief@192.0.2.66>", SDP_TYPE)
    ok = stranger.send(
        text("INVITE", *moved, to_tag=session.local_tag, cseq="2 INVITE", branch="z9hG4bKm", body=OFFER)
    )[0]
    stranger.send(text("ACK", to_tag=ok.to_tag, cseq="2 ACK", branch="z9hG4bKma"))
    assert stranger.send(reply(sent_by(stranger, bye), 401, f"WWW-Authenticate: {CHALLENGE}")) == []


@pytest.mark.parametrize(
    "origin", [PEER, Origin(OriginKind.USER, "alice"), Origin(OriginKind.TRUNK, "other")]
)
def test_nobody_else_learns_the_password(origin: Origin) -> None:
    stranger, _ = called(origin)
    assert stranger.send(reply(sent_by(stranger, bye), 401, f"WWW-Authenticate: {CHALLENGE}")) == []


def test_a_prack_is_proved_too_where_the_invite_was() -> None:
    stranger = Stranger()
    _, sent = placed(stranger, OURS)
    invited = as_a(Request, stranger.send(reply(sent, 407, f"Proxy-Authenticate: {CHALLENGE}"))[-1])
    reliable = ("Require: 100rel", "RSeq: 7", CONTACT)
    first = only(Request, stranger.send(reply(invited, 180, *reliable)))
    again = only(Request, stranger.send(reply(first, 407, f"Proxy-Authenticate: {CHALLENGE}")))
    assert (again.method, again.get("RAck")) == ("PRACK", first.get("RAck"))
    assert_proves(again, "Proxy-Authorization", CHALLENGE)
    assert stranger.send(reply(again, 407, f"Proxy-Authenticate: {CHALLENGE}")) == []
    stranger.now += SECOND
    ok = stranger.send(reply(invited, 200, CONTACT, SDP_TYPE, body=OFFER))
    assert sent_methods(ok) == ["ACK"]


def test_a_prack_that_is_refused_behind_the_answer_is_let_be() -> None:
    """Numbers of the call that is up by then must not be used twice."""
    stranger = Stranger()
    _, sent = placed(stranger, OURS)
    invited = as_a(Request, stranger.send(reply(sent, 407, f"Proxy-Authenticate: {CHALLENGE}"))[-1])
    prack = only(Request, stranger.send(reply(invited, 180, "Require: 100rel", "RSeq: 7", CONTACT)))
    stranger.send(reply(invited, 200, CONTACT, SDP_TYPE, body=OFFER))
    assert stranger.send(reply(prack, 407, f"Proxy-Authenticate: {CHALLENGE}")) == []
