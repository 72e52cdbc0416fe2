"""What the dispatcher asks of other rooms."""

from __future__ import annotations

from typing import Protocol


class FundsPort(Protocol):
    """What an account has left.  It answers from what it holds in memory and does not raise: where
    it cannot know, it answers 0 (a prepaid account fails closed)."""

    async def available(self, account_sid: str) -> int:
        """Micro-units of the account's currency that are neither spent nor held."""
