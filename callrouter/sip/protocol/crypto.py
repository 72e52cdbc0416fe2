"""Keys for SRTP in session descriptions (RFC 4568): `a=crypto` read, chosen from, and written."""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import MappingProxyType

from callrouter.sip.protocol.grammar import number

SUITES = MappingProxyType(
    {
        "AEAD_AES_256_GCM": 44,
        "AEAD_AES_128_GCM": 28,
        "AES_CM_128_HMAC_SHA1_80": 30,
        "AES_CM_128_HMAC_SHA1_32": 30,
    }
)
"""Octets of master key and salt, by name, the best suite first (RFC 4568 §6.2, RFC 7714 §14)."""

_MAX_TAG = 999_999_999
_LONGEST_MKI = 128


class SrtpPolicy(enum.Enum):
    """Whether audio is protected."""

    OFF = "off"
    OPTIONAL = "optional"
    """Where the far end offers it; offered by us only where nobody on the way can read the keys."""
    REQUIRED = "required"
    """Calls without it are refused."""


@dataclass(frozen=True, slots=True)
class Crypto:
    """One `a=crypto`: a suite, and the key that its writer sends with."""

    tag: int
    suite: str
    key: bytes = field(repr=False)
    mki: bytes = b""
    """What its writer's packets name the key with; b"": nothing."""

    @classmethod
    def parse(cls, value: str) -> Crypto | None:
        """None for one that we cannot do everything of, which must then not be chosen (§6.1)."""
        words = value.split()
        if len(words) < 3 or words[1] not in SUITES:
            return None
        if any(not word.startswith("WSH=") for word in words[3:]):
            return None
        method, _, info = words[2].partition(":")
        encoded, *rest = info.split("|")
        # A second key is more than we do.
        if method.lower() != "inline" or ";" in info or any(":" in part for part in rest[:-1]):
            return None
        try:
            key = base64.b64decode(encoded, validate=True)
            tag = number(words[0], _MAX_TAG)
            mki = _mki(rest[-1]) if rest and ":" in rest[-1] else b""
        except (ValueError, OverflowError, binascii.Error):
            return None
        return cls(tag, words[1], key, mki) if len(key) == SUITES[words[1]] else None

    def line(self) -> str:
        mki = f"|{int.from_bytes(self.mki)}:{len(self.mki)}" if self.mki else ""
        return f"a=crypto:{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}{mki}\r\n"


def _mki(text: str) -> bytes:
    """The octets of `value:length` (§6.1).  Raises `ValueError` or `OverflowError`."""
    value, _, length = text.partition(":")
    octets = number(length, _LONGEST_MKI)
    if not octets:
        raise ValueError("an MKI of no octets")
    return number(value, 256**octets - 1).to_bytes(octets)


def chosen(values: Iterable[str]) -> Crypto | None:
    """The first of a description's `a=crypto` that we can do."""
    return next((crypto for crypto in map(Crypto.parse, values) if crypto is not None), None)


class OwnKeys:
    """The keys we send with on one stream: made when they are first needed, one for each suite, and
    the same for as long as the far end is where it was.  Elsewhere, with another key of its own, it
    may be another device, which cannot know how many cycles have been counted under ours (RFC 4568
    §7.1.4)."""

    __slots__ = ("_keys", "_token")

    def __init__(self, token: Callable[[int], str]) -> None:
        self._token = token
        self._keys: dict[tuple[str, bytes], bytes] = {}

    def of(self, suite: str, theirs: bytes = b"") -> bytes:
        """`theirs`: of a far end that has moved, its new key."""
        key = self._keys.get((suite, theirs))
        if key is None:
            key = self._keys[suite, theirs] = bytes.fromhex(self._token(SUITES[suite]))
        return key

    def offer(self) -> tuple[Crypto, ...]:
        return tuple(Crypto(tag, suite, self.of(suite)) for tag, suite in enumerate(SUITES, 1))
