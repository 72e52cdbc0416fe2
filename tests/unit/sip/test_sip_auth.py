"""Digest answers against the examples of the RFCs."""

from __future__ import annotations

import pytest

from callrouter.sip.protocol import auth
from callrouter.sip.protocol.auth import Challenge, Credentials

MUFASA = Credentials("Mufasa", "Circle of Life")


def response_of(challenge: str, credentials: Credentials, method: str, uri: str, cnonce: str) -> str:
    value = auth.answer(
        Challenge.parse(challenge),
        credentials,
        method=method,
        uri=uri,
        body=b"",
        cnonce=cnonce,
        count=1,
    )
    return auth.parse_digest(value)["response"]


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616_section_3_9_1(algorithm: str, expected: str) -> None:
    challenge = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", '
        f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    got = response_of(challenge, Credentials("Mufasa", "Circle of Life"), "GET", "/dir/index.html", cnonce)
    assert got == expected


def test_the_example_of_rfc_2617_section_3_5() -> None:
    challenge = (
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    got = response_of(
        challenge, Credentials("Mufasa", "Circle Of Life"), "GET", "/dir/index.html", "0a4f113b"
    )
    assert got == "6629fae49393a05397450978507c4ef1"


def test_without_qop_the_old_rule_of_rfc_2069_applies() -> None:
    value = auth.answer(
        Challenge.parse('Digest realm="r", nonce="n"'),
        MUFASA,
        method="INVITE",
        uri="sip:a@b",
        body=b"",
        cnonce="c",
        count=1,
    )
    assert "qop" not in value
    assert "cnonce" not in value
    assert "algorithm" not in value


def test_auth_int_covers_the_body_and_sess_the_cnonce() -> None:
    challenge = Challenge.parse('Digest realm="r", nonce="n", qop="auth-int", algorithm=MD5-sess')
    values = {
        auth.parse_digest(
            auth.answer(challenge, MUFASA, method="INVITE", uri="sip:a@b", body=body, cnonce=cnonce, count=1)
        )["response"]
        for body in (b"", b"x")
        for cnonce in ("1", "2")
    }
    assert len(values) == 4


def test_the_strongest_challenge_is_answered_and_unknown_ones_passed_over() -> None:
    md5 = 'Digest realm="r", nonce="n"'
    sha = 'Digest realm="r", nonce="n", algorithm=SHA-256'
    chosen = auth.strongest(['Basic realm="r"', md5, sha, 'Digest realm="r", nonce="n", algorithm=X'])
    assert chosen is not None
    assert chosen.algorithm == "SHA-256"
    assert auth.strongest(['Basic realm="r"']) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic abc",
        'Digest realm="r"',
        'Digest realm="r", nonce="n", qop="odd"',
        "Digest x",
        'Digest realm="r',
    ],
)
def test_challenges_that_cannot_be_answered(value: str) -> None:
    with pytest.raises(ValueError, match=r"igest|qop|quoted"):
        Challenge.parse(value)


def test_values_with_quotes_survive() -> None:
    challenge = Challenge.parse(r'Digest realm="a\"b\\c", nonce="n,m", stale=TRUE')
    assert (challenge.realm, challenge.nonce, challenge.stale) == ('a"b\\c', "n,m", True)


@pytest.mark.parametrize("space", ["\t", "  ", " \t"])
def test_any_white_space_ends_the_scheme(space: str) -> None:
    assert Challenge.parse(f'DIGEST{space}realm="a", nonce="b"').realm == "a"


@pytest.mark.parametrize("value", ["", "Digest", "Basic realm=a, nonce=b"])
def test_no_digest_is_none(value: str) -> None:
    with pytest.raises(ValueError, match="not a Digest"):
        Challenge.parse(value)
