"""Permission to move a call by a SIP message: a token for one call, one target, one use.

The token is a number, a time and a seal (HMAC-SHA256) over both, the call and the target; neither of
these is in it, so it fits nothing else.  The key lives as long as the process, as the calls do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_SEAL_OCTETS = 16
_MOST_USED = 100_000


class TransferTokens:
    """Times are milliseconds of the monotonic clock."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key or secrets.token_bytes(32)
        self._used: dict[str, int] = {}
        """Numbers of redeemed tokens, to when they would have expired."""

    def issue(self, call_sid: str, target: str, expires_ms: int) -> str:
        head = f"{secrets.token_hex(8)}.{expires_ms:x}"
        return f"{head}.{self._seal(head, call_sid, target)}"

    def redeem(self, token: str, target: str, calls: Iterable[str], now_ms: int) -> str:
        """Which of `calls` the token moves to `target`; "" when it is forged, expired, used, or for
        something else.  It works once."""
        number, _, rest = token.partition(".")
        expiry, _, seal = rest.partition(".")
        call = self._sealed_for(f"{number}.{expiry}", seal, target, calls)
        if not call or number in self._used:
            return ""
        # Only what has been sealed here is read as a number.
        expires_ms = int(expiry, 16)
        if expires_ms <= now_ms:
            return ""
        self._forget(now_ms)
        if len(self._used) >= _MOST_USED:
            return ""  # rather than forget one that could come again
        self._used[number] = expires_ms
        return call

    def _sealed_for(self, head: str, seal: str, target: str, calls: Iterable[str]) -> str:
        found = ""
        for call in calls:
            expected = self._seal(head, call, target).encode()
            if hmac.compare_digest(expected, seal.encode("utf-8", "backslashreplace")):
                found = call
        return found

    def _seal(self, head: str, call_sid: str, target: str) -> str:
        text = "\n".join((head, call_sid, target)).encode("utf-8", "backslashreplace")
        seal = hmac.new(self._key, text, hashlib.sha256).digest()[:_SEAL_OCTETS]
        return base64.urlsafe_b64encode(seal).decode().rstrip("=")

    def _forget(self, now_ms: int) -> None:
        """Used tokens that have expired need not be remembered."""
        for number in [n for n, expires_ms in self._used.items() if expires_ms <= now_ms]:
            del self._used[number]
