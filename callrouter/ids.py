"""Identifiers and secrets from the system's random source, behind the `Ids` port."""

from __future__ import annotations

import os
import time

_SID_RANDOM_BYTES = 12
_STOCK_BYTES = 4096


class RandomIds:
    """Unguessable identifiers: a sid names a resource, it never grants access to it.

    A sid begins with the second it was made in, and 96 random bits follow.  Every table and index has
    sids as keys: a call's rows cost the database a third less where those of calls of the same time lie
    side by side, and more than that where there are many.

    Random bytes are fetched many at a time: a call takes half a dozen identifiers, and each system
    call lets another thread have the interpreter, which costs more than the bytes.  No byte is used
    twice, nor in another process than the one that fetched it."""

    def __init__(self) -> None:
        self._stock = b""
        self._used = 0
        os.register_at_fork(after_in_child=self._forget)

    def sid(self, prefix: str) -> str:
        return f"{prefix}{int(time.time()) & 0xFFFFFFFF:08x}{self.token(_SID_RANDOM_BYTES)}"

    def token(self, size: int = 16) -> str:
        start, end = self._used, self._used + size
        if end > len(self._stock):
            self._stock = os.urandom(max(_STOCK_BYTES, size))
            start, end = 0, size
        self._used = end
        return self._stock[start:end].hex()

    def _forget(self) -> None:
        self._stock = b""
