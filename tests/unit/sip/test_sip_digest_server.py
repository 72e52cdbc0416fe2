"""Digest authentication as a server: who gets in, who is asked again, and who learns nothing."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrouter.sip.protocol.auth import Challenge, Credentials, answer, strongest
from callrouter.sip.protocol.digest_server import DigestServer, Judgement, Verdict
from callrouter.sip.protocol.message import Request

SECOND = 10**9
START = 5_000 * SECOND
USERS = {"alice": "wonderland", "bob": "builder"}
CLAIM = 'Digest username="alice", realm="realm", nonce="n", response="00"'


def server(**more: Any) -> DigestServer:
    tokens = itertools.count(1)
    return DigestServer("realm", b"key", lambda size: f"{next(tokens):0{size * 2}x}", **more)


def challenge_of(ours: DigestServer, now: int = START, algorithm: str = "MD5") -> Challenge:
    values = [Challenge.parse(v) for n, v in ours.challenge(now) if n == "WWW-Authenticate"]
    return next(c for c in values if c.algorithm == algorithm)


def request(
    challenge: Challenge,
    *,
    user: str = "alice",
    password: str = "wonderland",
    count: int = 1,
    method: str = "REGISTER",
    uri: str = "sip:example.com",
    sent_to: str = "",
    header: str = "Authorization",
) -> Request:
    value = answer(
        challenge, Credentials(user, password), method=method, uri=uri, body=b"", cnonce="c", count=count
    )
    return Request(method, sent_to or uri, [(header, value)])


def judge(ours: DigestServer, sent: Request, now: int = START) -> Judgement:
    return ours.judge(sent, USERS.get, now)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("header", ["Authorization", "Proxy-Authorization"])
def test_the_right_password_is_let_in(algorithm: str, header: str) -> None:
    ours = server()
    sent = request(challenge_of(ours, algorithm=algorithm), header=header)
    assert judge(ours, sent) == Judgement(Verdict.RIGHT, "alice")


def test_both_algorithms_are_offered_the_preferred_one_first() -> None:
    values = [v for _, v in server().challenge(START)]
    assert ["SHA-256" in v for v in values] == [True, False]
    best = strongest(values)
    assert best is not None
    assert best.algorithm == "SHA-256"
    assert best.qop == "auth"
    assert not best.stale


def test_a_proxys_challenge_has_the_proxys_header() -> None:
    assert {n for n, _ in server().challenge(START, status=407)} == {"Proxy-Authenticate"}


def test_an_algorithm_that_was_not_offered_is_not_taken() -> None:
    ours = server(algorithms=("SHA-256",))
    weak = challenge_of(server(), algorithm="MD5")
    assert judge(ours, request(weak)).verdict is Verdict.ABSENT


@pytest.mark.parametrize(
    ("user", "password"), [("alice", "guess"), ("nobody", "guess"), ("bob", "wonderland")]
)
def test_wrong_passwords_and_strangers_are_the_same(user: str, password: str) -> None:
    ours = server()
    sent = request(challenge_of(ours), user=user, password=password)
    assert judge(ours, sent).verdict is Verdict.WRONG


def test_credentials_are_good_for_one_count_only() -> None:
    ours = server()
    challenge = challenge_of(ours)
    first = request(challenge, count=1)
    assert judge(ours, first).verdict is Verdict.RIGHT
    assert judge(ours, first).verdict is Verdict.STALE
    assert judge(ours, request(challenge, count=2)).verdict is Verdict.RIGHT
    assert judge(ours, request(challenge, count=9)).verdict is Verdict.RIGHT
    assert judge(ours, request(challenge, count=5)).verdict is Verdict.STALE


def test_a_client_that_does_not_count_may_use_a_nonce_once() -> None:
    ours = server()
    old = challenge_of(ours)
    plain = Challenge(old.realm, old.nonce)
    assert judge(ours, request(plain)).verdict is Verdict.RIGHT
    assert judge(ours, request(plain)).verdict is Verdict.STALE
    assert judge(ours, request(old, count=7)).verdict is Verdict.STALE


def test_an_old_nonce_is_stale_and_the_next_challenge_says_so() -> None:
    ours = server(nonce_lifetime_ms=1000)
    challenge = challenge_of(ours)
    assert judge(ours, request(challenge), START + SECOND).verdict is Verdict.RIGHT
    assert judge(ours, request(challenge, count=2), START + SECOND + 10**6).verdict is Verdict.STALE
    assert all("stale=true" in v for _, v in ours.challenge(START, stale=True))


def test_a_wrong_password_never_hears_that_the_nonce_was_stale() -> None:
    ours = server(nonce_lifetime_ms=1000)
    challenge = challenge_of(ours)
    late = judge(ours, request(challenge, password="guess"), START + 9 * SECOND)
    assert late.verdict is Verdict.WRONG


@pytest.mark.parametrize("nonce", ["", "x", "..", "5b8d80.0000.00", "dcd98b7102dd2f0e8b11d0f600bfb0c093"])
def test_a_nonce_that_we_did_not_make_is_stale(nonce: str) -> None:
    ours = server()
    assert judge(ours, request(Challenge("realm", nonce, qop="auth"))).verdict is Verdict.STALE


def test_a_nonce_of_another_key_or_realm_is_stale() -> None:
    other = DigestServer("realm", b"other", lambda size: "0" * size)
    assert judge(server(), request(challenge_of(other))).verdict is Verdict.STALE


def test_what_was_answered_to_another_realm_is_no_answer() -> None:
    other = DigestServer("elsewhere", b"key", lambda size: "0" * size)
    assert judge(server(), request(challenge_of(other))).verdict is Verdict.ABSENT


def test_a_digest_for_one_user_is_of_no_use_to_call_another() -> None:
    ours = server()
    asked = "sip:+15550100@example.com"
    call = partial(request, method="INVITE")
    stolen = call(challenge_of(ours), uri=asked, sent_to="sip:+88213000@example.com")
    assert judge(ours, stolen).verdict is Verdict.WRONG
    moved = call(challenge_of(ours), uri=asked, sent_to="sip:+15550100@192.0.2.1:5060;transport=tcp")
    assert judge(ours, moved).verdict is Verdict.RIGHT
    careless = call(challenge_of(ours), uri="sip:192.0.2.1:5060", sent_to=asked)
    assert judge(ours, careless).verdict is Verdict.RIGHT


def test_the_table_of_nonces_is_bounded_and_forgetting_never_lets_a_replay_in() -> None:
    ours = server(max_nonces=10)
    used = []
    for i in range(50):
        sent = request(challenge_of(ours, START + i * SECOND))
        assert judge(ours, sent, START + i * SECOND).verdict is Verdict.RIGHT
        used.append(sent)
    now = START + 50 * SECOND
    assert {judge(ours, sent, now).verdict for sent in used} == {Verdict.STALE}


@pytest.mark.parametrize(
    "value",
    [
        "NoOneKnowsThisScheme opaque-data=here",
        "Basic YWxpY2U6d29uZGVybGFuZA==",
        "Digest",
        f'{CLAIM}, uri="sip:x", qop=auth, nc=zz, cnonce="c"',
        f'{CLAIM}, uri="sip:x", qop=auth-int, nc=1, cnonce="c"',
        f'{CLAIM}, uri="sip:x", algorithm=ROT13',
        CLAIM,
        'Digest username="alice, realm="realm"',
    ],
)
def test_what_cannot_be_read_counts_as_no_credentials(value: str) -> None:
    sent = Request("REGISTER", "sip:example.com", [("Authorization", value)])
    assert judge(server(), sent).verdict is Verdict.ABSENT


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_nothing_that_stands_in_the_header_gets_in_or_breaks(text: str) -> None:
    for value in (text, f"Digest {text}", f'Digest username="alice", realm="realm", nonce={text}'):
        sent = Request("REGISTER", "sip:example.com", [("Authorization", value)])
        assert judge(server(), sent).verdict in (Verdict.ABSENT, Verdict.WRONG)
