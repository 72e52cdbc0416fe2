"""`CSeq` (RFC 3261 §20.16)."""

from __future__ import annotations

from dataclasses import dataclass

from callrouter.sip.protocol.grammar import is_token, number


@dataclass(frozen=True, slots=True)
class CSeq:
    number: int
    """Below 2**32; a sender starts below 2**31."""
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Raises `ValueError`."""
        words = text.split()
        if len(words) != 2 or not is_token(words[1]):
            raise ValueError(f"malformed CSeq: {text[:30]!r}")
        return cls(number(words[0]), words[1])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
