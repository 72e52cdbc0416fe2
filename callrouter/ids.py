"""Identifiers and secrets from the system's random source, behind the `Ids` port."""

from __future__ import annotations

import secrets

_SID_BYTES = 16


class RandomIds:
    """Unguessable identifiers: a sid names a resource, it never grants access to it."""

    def sid(self, prefix: str) -> str:
        return prefix + secrets.token_hex(_SID_BYTES)

    def token(self, size: int = 16) -> str:
        return secrets.token_hex(size)
