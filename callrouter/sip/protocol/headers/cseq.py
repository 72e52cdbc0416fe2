"""`CSeq` (RFC 3261 §20.16)."""

from __future__ import annotations

import functools
from typing import NamedTuple

from callrouter.sip.protocol.grammar import is_token, number

_CACHED_LENGTH = 30


class CSeq(NamedTuple):
    number: int
    """Below 2**32; a sender starts below 2**31."""
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Raises `ValueError`."""
        return _parse_cached(text) if len(text) <= _CACHED_LENGTH else _parse(text)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def _parse(text: str) -> CSeq:
    words = text.split()
    if len(words) != 2 or not is_token(words[1]):
        raise ValueError(f"malformed CSeq: {text[:30]!r}")
    return CSeq(number(words[0]), words[1])


_parse_cached = functools.lru_cache(maxsize=1024)(_parse)
