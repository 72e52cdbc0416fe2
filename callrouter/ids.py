"""Identifiers and secrets from the system's random source, behind the `Ids` port."""

from __future__ import annotations

import os

_SID_BYTES = 16
_STOCK_BYTES = 4096


class RandomIds:
    """Unguessable identifiers: a sid names a resource, it never grants access to it.

    Random bytes are fetched many at a time: a call takes half a dozen identifiers, and each system
    call lets another thread have the interpreter, which costs more than the bytes.  No byte is used
    twice, nor in another process than the one that fetched it."""

    def __init__(self) -> None:
        self._stock = b""
        self._used = 0
        os.register_at_fork(after_in_child=self._forget)

    def sid(self, prefix: str) -> str:
        return prefix + self.token(_SID_BYTES)

    def token(self, size: int = 16) -> str:
        start, end = self._used, self._used + size
        if end > len(self._stock):
            self._stock = os.urandom(max(_STOCK_BYTES, size))
            start, end = 0, size
        self._used = end
        return self._stock[start:end].hex()

    def _forget(self) -> None:
        self._stock = b""
