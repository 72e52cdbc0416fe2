"""A call whose signalling knows of nothing but audio: nothing is passed on beside it."""

from __future__ import annotations

from callrouter.ports import AUDIO_ALONE, Passing


class AudioAlone:
    """The part of `SipLeg` that is about lines, of a leg that never has any."""

    passes: frozenset[str] = frozenset()
    passed_to_us = AUDIO_ALONE
    is_passing = False
    audio_slot = 0
    slots = 1

    def open_passage(self, is_open: bool) -> None:
        """Nobody is ever asked."""

    def offer_lines(self, passing: Passing, *, is_relayed: bool = False) -> None:
        """There is nothing of a kind that `passes`."""

    def answer_lines(self, status: int, passing: Passing = AUDIO_ALONE) -> None:
        """Nothing is ever offered."""

    def withdraw_lines(self) -> None:
        """There is nothing to withdraw."""
