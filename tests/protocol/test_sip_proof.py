"""Proving who we are to carriers that ask: once, again where that can help, and to nobody else."""

from __future__ import annotations

import pytest

from callrouter.ports import Failed
from callrouter.sip.protocol.auth import Challenge, Credentials, parse_digest, response_of
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.proof import MOST
from tests.narrowing import as_a
from tests.protocol.stranger import ANSWER, OFFER, SDP_TYPE, Stranger, reply
from tests.protocol.test_sip_dialog import placed, sent_methods

CHALLENGE = 'Digest realm="carrier", nonce="n1", qop="auth", algorithm=MD5'


@pytest.mark.parametrize(
    ("status", "asks", "answers"),
    [(401, "WWW-Authenticate", "Authorization"), (407, "Proxy-Authenticate", "Proxy-Authorization")],
)
def test_a_challenge_is_answered_once(status: int, asks: str, answers: str) -> None:
    stranger = Stranger()
    _, sent = placed(stranger, Credentials("me", "secret"))
    again = stranger.send(reply(sent, status, f"{asks}: {CHALLENGE}"))
    assert sent_methods(again) == ["ACK", "INVITE"]
    second = again[1]
    assert isinstance(second, Request)
    assert second.cseq.number == 2
    assert 'username="me"' in (second.get(answers) or "")
    assert "nc=00000001" in (second.get(answers) or "")
    assert sent_methods(stranger.send(reply(second, status, f"{asks}: {CHALLENGE}", tag="t2"))) == ["ACK"]
    (failed,) = stranger.events
    assert isinstance(failed, Failed)
    assert failed.status == status


def test_a_stale_nonce_is_answered_again() -> None:
    stranger = Stranger()
    _, sent = placed(stranger, Credentials("me", "secret"))
    again = stranger.send(reply(sent, 401, f"WWW-Authenticate: {CHALLENGE}"))[1]
    assert isinstance(again, Request)
    stale = CHALLENGE.replace("n1", "n2") + ", stale=true"
    third = stranger.send(reply(again, 401, f"WWW-Authenticate: {stale}", tag="t2"))
    assert sent_methods(third) == ["ACK", "INVITE"]


def test_a_proxy_and_the_server_behind_it_both_get_their_proof() -> None:
    """The proxy's goes along with the server's, its nonce counted on (RFC 3261 §22.3)."""
    stranger = Stranger()
    _, sent = placed(stranger, Credentials("me", "secret"))
    second = stranger.send(reply(sent, 407, f"Proxy-Authenticate: {CHALLENGE}"))[1]
    asked = CHALLENGE.replace("carrier", "behind").replace("n1", "n9")
    third = stranger.send(reply(second, 401, f"WWW-Authenticate: {asked}", tag="t2"))[1]
    assert isinstance(third, Request)
    to_proxy, to_server = third.get("Proxy-Authorization") or "", third.get("Authorization") or ""
    assert ('realm="carrier"' in to_proxy, "nc=00000002" in to_proxy) == (True, True)
    assert ('realm="behind"' in to_server, "nc=00000001" in to_server) == (True, True)
    refused = reply(third, 401, f"WWW-Authenticate: {asked.replace('n9', 'n8')}", tag="t3")
    assert sent_methods(stranger.send(refused)) == ["ACK"], "that password is wrong"


def test_a_proxy_that_takes_a_nonce_but_once_gets_another_answer() -> None:
    stranger = Stranger()
    _, sent = placed(stranger, Credentials("me", "secret"))
    second = stranger.send(reply(sent, 407, f"Proxy-Authenticate: {CHALLENGE}"))[1]
    third = stranger.send(reply(second, 401, f"WWW-Authenticate: {CHALLENGE}", tag="t2"))[1]
    anew = CHALLENGE.replace("n1", "n2")
    fourth = stranger.send(reply(third, 407, f"Proxy-Authenticate: {anew}", tag="t3"))[1]
    assert isinstance(fourth, Request)
    assert "nc=00000001" in (fourth.get("Proxy-Authorization") or "")
    assert "nc=00000002" in (fourth.get("Authorization") or "")


def test_a_server_that_finds_every_nonce_stale_is_left() -> None:
    stranger = Stranger()
    _, sent = placed(stranger, Credentials("me", "secret"))
    invites = 1
    while True:
        asked = CHALLENGE.replace("n1", f"n{invites}") + ", stale=true"
        back = stranger.send(reply(sent, 401, f"WWW-Authenticate: {asked}", tag=f"t{invites}"))
        if len(back) == 1:
            break
        sent = as_a(Request, back[1])
        invites += 1
    assert invites == 1 + MOST
    assert isinstance(stranger.events[-1], Failed)


def test_the_proof_covers_the_offer_where_a_server_asks_for_that() -> None:
    stranger = Stranger()
    _, sent = placed(stranger, Credentials("me", "secret"))
    asked = 'Digest realm="carrier", nonce="n1", qop="auth-int", algorithm=SHA-256'
    offers = f"WWW-Authenticate: {asked}\r\nWWW-Authenticate: {CHALLENGE}"
    second = stranger.send(reply(sent, 401, offers))[1]
    assert isinstance(second, Request)
    given = parse_digest(second.get("Authorization") or "")
    assert (given["qop"], given["algorithm"]) == ("auth-int", "SHA-256")
    expected = response_of(
        Challenge.parse(asked),
        Credentials("me", "secret"),
        method="INVITE",
        uri=given["uri"],
        body=second.body,
        cnonce=given["cnonce"],
        nc=given["nc"],
    )
    assert given["response"] == expected


def test_a_challenged_bye_is_answered_to_the_trunks_own_realm_only() -> None:
    for realm, expected in (("carrier", ["BYE"]), ("thief", [])):
        stranger = Stranger()
        session, sent = placed(stranger, Credentials("me", "secret"))
        second = stranger.send(reply(sent, 401, f"WWW-Authenticate: {CHALLENGE}"))[1]
        assert isinstance(second, Request)
        stranger.send(reply(second, 200, *ANSWER, body=OFFER))
        session.hangup("", stranger.now)
        (bye,) = stranger.take()
        assert isinstance(bye, Request)
        asked = CHALLENGE.replace("carrier", realm)
        assert sent_methods(stranger.send(reply(bye, 401, f"WWW-Authenticate: {asked}"))) == expected


def test_a_bye_that_goes_elsewhere_never_carries_the_password() -> None:
    """A Contact at another address must not collect a digest of our secret."""
    stranger = Stranger()
    session, sent = placed(stranger, Credentials("me", "secret"))
    second = stranger.send(reply(sent, 401, f"WWW-Authenticate: {CHALLENGE}"))[1]
    assert isinstance(second, Request)
    stranger.send(reply(second, 200, "Contact: <sip:thief@192.0.2.66>", SDP_TYPE, body=OFFER))
    session.hangup("", stranger.now)
    (bye,) = stranger.take()
    assert isinstance(bye, Request)
    assert sent_methods(stranger.send(reply(bye, 401, f"WWW-Authenticate: {CHALLENGE}"))) == []


def test_a_bye_nobody_was_asked_about_is_not_authorized() -> None:
    """An INVITE that was never challenged gives no realm to trust."""
    stranger = Stranger()
    session, sent = placed(stranger, Credentials("me", "secret"))
    stranger.send(reply(sent, 200, *ANSWER, body=OFFER))
    session.hangup("", stranger.now)
    (bye,) = stranger.take()
    assert isinstance(bye, Request)
    assert sent_methods(stranger.send(reply(bye, 407, f"Proxy-Authenticate: {CHALLENGE}"))) == []
