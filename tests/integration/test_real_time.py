"""Stories in real time are told again where somebody in them was held up, and nowhere else."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.integration.real_time import TELLINGS, in_real_time


async def held_up() -> None:
    await asyncio.sleep(0.01)
    time.sleep(0.02)
    await asyncio.sleep(0.01)


async def test_a_story_that_nobody_disturbed_fails_at_once() -> None:
    told = 0

    @in_real_time
    async def story() -> None:
        nonlocal told
        told += 1
        raise AssertionError("it never was true")

    with pytest.raises(AssertionError, match="never"):
        await story()
    assert told == 1


async def test_one_that_was_disturbed_is_told_again_until_it_is_true() -> None:
    told = 0

    @in_real_time
    async def story() -> None:
        nonlocal told
        told += 1
        await held_up()
        assert told == 3

    await story()
    assert told == 3


async def test_nothing_is_said_of_one_that_was_disturbed_each_time() -> None:
    told = 0

    @in_real_time
    async def story() -> None:
        nonlocal told
        told += 1
        await held_up()
        raise AssertionError("it may be true")

    with pytest.raises(pytest.skip.Exception, match="stood still"):
        await story()
    assert told == TELLINGS


async def test_one_that_fails_as_soon_as_it_is_not_disturbed_has_failed() -> None:
    told = 0

    @in_real_time
    async def story() -> None:
        nonlocal told
        told += 1
        if told < 3:
            await held_up()
        raise AssertionError("it never was true")

    with pytest.raises(AssertionError, match="never"):
        await story()
    assert told == 3
