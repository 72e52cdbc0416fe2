"""Stories in real time are told again where somebody in them was held up, and nowhere else."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.integration.real_time import TELLINGS, in_real_time


class Story:
    """One of which each telling so far has been counted."""

    def __init__(self, *, disturbed: int, true: int = 0, lie: str = "") -> None:
        """The first `disturbed` tellings are held up; only the `true`th does not fail, with `lie`."""
        self.told = 0
        self._disturbed, self._true, self._lie = disturbed, true, lie

    @in_real_time
    async def tell(self) -> None:
        self.told += 1
        if self.told <= self._disturbed:
            await asyncio.sleep(0.01)
            time.sleep(0.02)
            await asyncio.sleep(0.01)
        assert self.told == self._true, self._lie


async def test_a_story_that_nobody_disturbed_fails_at_once() -> None:
    story = Story(disturbed=0, lie="it never was true")
    with pytest.raises(AssertionError, match="never"):
        await story.tell()
    assert story.told == 1


async def test_one_that_was_disturbed_is_told_again_until_it_is_true() -> None:
    story = Story(disturbed=3, true=3)
    await story.tell()
    assert story.told == 3


async def test_nothing_is_said_of_one_that_was_disturbed_each_time() -> None:
    story = Story(disturbed=TELLINGS, lie="it may be true")
    with pytest.raises(pytest.skip.Exception, match="stood still"):
        await story.tell()
    assert story.told == TELLINGS


async def test_one_that_fails_as_soon_as_it_is_not_disturbed_has_failed() -> None:
    story = Story(disturbed=2, lie="it never was true")
    with pytest.raises(AssertionError, match="never"):
        await story.tell()
    assert story.told == 3
