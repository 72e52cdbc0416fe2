"""Digest authentication: what both sides share, and the client's (RFC 3261 §22, RFC 7616, RFC 8760)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from callrouter.sip.protocol.grammar import is_token, quote, split, unquote


def _md5(data: bytes) -> str:
    # The protocol asks for it; whoever wants better offers SHA-256, which we prefer.
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


_HASHES = {"MD5": _md5, "SHA-256": _sha256}
_STRENGTH = ("SHA-256", "MD5")


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """A `WWW-Authenticate` or `Proxy-Authenticate` that we can answer."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    """`MD5` or `SHA-256`, as compared; `session` tells the `-sess` variants."""
    session: bool = False
    algorithm_text: str = ""
    """As the server wrote it; "" when it did not."""
    opaque: str | None = None
    qop: str = ""
    """`auth`, `auth-int` or "" (RFC 2069)."""
    stale: bool = False

    @classmethod
    def parse(cls, value: str) -> Challenge:
        """Raises `ValueError` for other schemes, algorithms and qops than ours."""
        values = parse_digest(value)
        text = values.get("algorithm", "")
        algorithm = (text or "MD5").upper()
        session = algorithm.endswith("-SESS")
        algorithm = algorithm.removesuffix("-SESS")
        if algorithm not in _HASHES:
            raise ValueError(f"unknown digest algorithm {text[:20]!r}")
        qops = [q.strip().lower() for q in values.get("qop", "").split(",") if q.strip()]
        qop = next((q for q in ("auth", "auth-int") if q in qops), "")
        if qops and not qop:
            raise ValueError("unknown qop")
        if "realm" not in values or "nonce" not in values:
            raise ValueError("digest challenge without realm or nonce")
        stale = values.get("stale", "").lower() == "true"
        return cls(
            values["realm"], values["nonce"], algorithm, session, text, values.get("opaque"), qop, stale
        )


def parse_digest(value: str) -> dict[str, str]:
    """The directives of a Digest header, unquoted, names in lower case.  Raises `ValueError`."""
    words = value.split(None, 1)
    if len(words) != 2 or words[0].lower() != "digest":
        raise ValueError(f"not a Digest: {value[:20]!r}")
    values = {}
    for part in split(words[1], ","):
        name, equals, text = part.strip().partition("=")
        name = name.strip().lower()
        if not equals or not is_token(name):
            raise ValueError(f"malformed digest directive: {part.strip()[:30]!r}")
        values[name] = unquote(text.strip())
    return values


def strongest(values: Iterable[str]) -> Challenge | None:
    """The challenge to answer when several are offered (RFC 8760 §2.4); None when none fits."""
    found = []
    for value in values:
        try:
            found.append(Challenge.parse(value))
        except ValueError:
            continue
    return min(found, key=lambda c: _STRENGTH.index(c.algorithm), default=None)


def response_of(
    challenge: Challenge,
    credentials: Credentials,
    *,
    method: str,
    uri: str,
    body: bytes,
    cnonce: str,
    nc: str,
) -> str:
    """The digest that proves the password; `nc` is the count as eight hex digits."""
    digest = _HASHES[challenge.algorithm]

    def h(text: str) -> str:
        return digest(text.encode("utf-8", "surrogateescape"))

    ha1 = h(f"{credentials.username}:{challenge.realm}:{credentials.password}")
    if challenge.session:
        ha1 = h(f"{ha1}:{challenge.nonce}:{cnonce}")
    entity = f":{digest(body)}" if challenge.qop == "auth-int" else ""
    ha2 = h(f"{method}:{uri}{entity}")
    middle = f"{nc}:{cnonce}:{challenge.qop}:" if challenge.qop else ""
    return h(f"{ha1}:{challenge.nonce}:{middle}{ha2}")


def answer(
    challenge: Challenge,
    credentials: Credentials,
    *,
    method: str,
    uri: str,
    body: bytes,
    cnonce: str,
    count: int,
) -> str:
    """The value of `Authorization` or `Proxy-Authorization`; `count` is 1 for a nonce's first use."""
    nc = f"{count:08x}"
    response = response_of(challenge, credentials, method=method, uri=uri, body=body, cnonce=cnonce, nc=nc)
    parts = [
        f"username={quote(credentials.username)}",
        f"realm={quote(challenge.realm)}",
        f"nonce={quote(challenge.nonce)}",
        f"uri={quote(uri)}",
        f'response="{response}"',
    ]
    if challenge.algorithm_text:
        parts.append(f"algorithm={challenge.algorithm_text}")
    if challenge.opaque is not None:
        parts.append(f"opaque={quote(challenge.opaque)}")
    if challenge.qop:
        parts += [f"qop={challenge.qop}", f"nc={nc}", f'cnonce="{cnonce}"']
    elif challenge.session:
        parts.append(f'cnonce="{cnonce}"')
    return "Digest " + ", ".join(parts)
