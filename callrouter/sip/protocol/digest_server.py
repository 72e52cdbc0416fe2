"""Digest authentication, the server's side (RFC 3261 §22, RFC 7616, RFC 8760).

A nonce carries the time it was made and a seal over it, so nothing is kept for requests that only
ask.  What is kept, in a bounded table, is how often each nonce has been used by somebody who knew
the password: a count that does not grow is a replay.

Whoever does not exist is treated exactly as whoever has another password: same steps, same answer.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from callrouter.sip.protocol.auth import Challenge, Credentials, parse_digest, response_of
from callrouter.sip.protocol.grammar import Fields, quote
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.timers import MS
from callrouter.sip.protocol.uri import Uri

NONCE_LIFETIME_MS = 300_000
MAX_NONCES = 20_000
_COUNT = re.compile(r"[0-9A-Fa-f]{1,8}")
_QOP = "auth"


class Verdict(enum.Enum):
    ABSENT = "absent"
    """Nothing that answers a challenge of ours."""
    WRONG = "wrong"
    """Nobody of that name, or not the password."""
    STALE = "stale"
    """The password is right, the nonce is too old, not ours, or has been used that often before."""
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    username: str = ""


_ABSENT = Judgement(Verdict.ABSENT)


@dataclass(frozen=True, slots=True)
class Claim:
    """An `Authorization` or `Proxy-Authorization` that answers a challenge of ours."""

    challenge: Challenge
    username: str
    uri: str
    response: str
    cnonce: str
    nc: str
    """"" for a client of RFC 2069, which does not count."""

    @classmethod
    def parse(cls, value: str) -> Claim:
        """Raises `ValueError` for other schemes, algorithms and qops than ours."""
        values = parse_digest(value)
        qop = values.get("qop", "").lower()
        if qop not in ("", _QOP):
            raise ValueError("unknown qop")
        nc = values.get("nc", "").lower() if qop else ""
        if qop and (_COUNT.fullmatch(nc) is None or not values.get("cnonce")):
            raise ValueError("qop without nc or cnonce")
        for name in ("username", "uri", "response"):
            if name not in values:
                raise ValueError(f"digest credentials without {name}")
        return cls(
            Challenge.parse(value),
            values["username"],
            values["uri"],
            values["response"].lower(),
            values.get("cnonce", ""),
            nc,
        )


class DigestServer:
    """One realm.  `key` seals the nonces; who knows it can make them, but needs a password still."""

    def __init__(
        self,
        realm: str,
        key: bytes,
        token: Callable[[int], str],
        *,
        algorithms: tuple[str, ...] = ("SHA-256", "MD5"),
        nonce_lifetime_ms: int = NONCE_LIFETIME_MS,
        max_nonces: int = MAX_NONCES,
    ) -> None:
        self.realm = realm
        self._key = key
        self._token = token
        self._algorithms = algorithms
        self._lifetime_ms = nonce_lifetime_ms
        self._max_nonces = max_nonces
        self._counts: OrderedDict[str, int] = OrderedDict()
        """Nonces that were used well, oldest use first, to the highest count seen."""
        self._forgotten_ms = -1
        """Nonces made up to then have been dropped from the table: their counts are unknown."""

    # -- asking

    def challenge(self, now_ns: int, *, status: int = 401, stale: bool = False) -> Fields:
        """Headers of a 401 or 407, one for each algorithm, the preferred one first."""
        name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
        nonce = self._nonce(now_ns // MS)
        tail = ", stale=true" if stale else ""
        return tuple(
            (
                name,
                f'Digest realm={quote(self.realm)}, nonce="{nonce}", algorithm={algorithm}, '
                f'qop="{_QOP}"{tail}',
            )
            for algorithm in self._algorithms
        )

    def _nonce(self, now_ms: int) -> str:
        head = f"{now_ms:x}.{self._token(8)}"
        return f"{head}.{self._seal(head)}"

    def _seal(self, head: str) -> str:
        text = f"nonce\0{self.realm}\0{head}".encode("utf-8", "surrogateescape")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32]

    # -- judging

    def judge(self, request: Request, password_of: Callable[[str], str | None], now_ns: int) -> Judgement:
        """What the credentials of `request` are worth; `password_of` gives None for strangers."""
        claim = self._claim(request)
        if claim is None:
            return _ABSENT
        password = password_of(claim.username)
        is_right = self._proves(claim, request, password if password is not None else self._nobodys(claim))
        if not is_right or password is None:
            return Judgement(Verdict.WRONG, claim.username)
        if not self._is_fresh(claim, now_ns // MS):
            return Judgement(Verdict.STALE, claim.username)
        return Judgement(Verdict.RIGHT, claim.username)

    def _claim(self, request: Request) -> Claim | None:
        for name in ("Authorization", "Proxy-Authorization"):
            for value in request.all(name):
                try:
                    claim = Claim.parse(value)
                except ValueError:
                    continue
                if claim.challenge.realm == self.realm and claim.challenge.algorithm in self._algorithms:
                    return claim
        return None

    def _proves(self, claim: Claim, request: Request, password: str) -> bool:
        expected = response_of(
            claim.challenge,
            Credentials(claim.username, password),
            method=request.method,
            uri=claim.uri,
            body=b"",
            cnonce=claim.cnonce,
            nc=claim.nc,
        )
        given = claim.response.encode("utf-8", "surrogateescape")
        return hmac.compare_digest(expected.encode(), given) and _same_user(claim.uri, request.uri)

    def _nobodys(self, claim: Claim) -> str:
        """A password that nobody has, so that the same steps are taken for whoever does not exist."""
        text = f"nobody\0{claim.username}".encode("utf-8", "surrogateescape")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()

    # -- nonces

    def _is_fresh(self, claim: Claim, now_ms: int) -> bool:
        """Ours, young, and used for the first time with this count; notes the use."""
        nonce = claim.challenge.nonce
        made_ms = self._made_ms(nonce)
        if made_ms is None or not 0 <= now_ms - made_ms <= self._lifetime_ms:
            return False
        if nonce not in self._counts and made_ms <= self._forgotten_ms:
            return False
        # Without a count a nonce is good for one request.
        count = int(claim.nc, 16) if claim.nc else 1
        if count <= self._counts.get(nonce, 0):
            return False
        self._note(nonce, count if claim.nc else 2**32, now_ms)
        return True

    def _made_ms(self, nonce: str) -> int | None:
        """When we made `nonce`; None for one that we did not make."""
        head, _, seal = nonce.rpartition(".")
        given = seal.encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(self._seal(head).encode(), given):
            return None
        return int(head.partition(".")[0], 16)

    def _note(self, nonce: str, count: int, now_ms: int) -> None:
        counts = self._counts
        counts[nonce] = count
        counts.move_to_end(nonce)
        while counts:
            oldest = next(iter(counts))
            made_ms = self._made_ms(oldest) or 0
            if len(counts) > self._max_nonces:
                self._forgotten_ms = max(self._forgotten_ms, made_ms)
            elif now_ms - made_ms <= self._lifetime_ms:
                return
            del counts[oldest]


def _same_user(claimed: str, requested: str) -> bool:
    """The digest is for this request: proxies on the way may change host and parameters, but
    whoever listens in must not get another user called with it.  Some clients name the server only;
    theirs is the risk."""
    if claimed == requested:
        return True
    try:
        ours, theirs = Uri.parse(claimed), Uri.parse(requested)
    except ValueError:
        return False
    return ours.is_sip and theirs.is_sip and ours.plain_user in ("", theirs.plain_user)
