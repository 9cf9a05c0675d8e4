"""A call that ends in time, and whose end is no other's."""

from __future__ import annotations

import asyncio

import pytest

from fnpack_triggers.service_bus.deadline import within


async def result() -> int:
    await asyncio.sleep(0)
    return 1


async def test_result_comes_through_and_nothing_is_cancelled_later() -> None:
    assert await within(0.01, result()) == 1
    await asyncio.sleep(0.03)


async def test_call_that_takes_too_long_is_cancelled_and_the_caller_goes_on() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    with pytest.raises(asyncio.TimeoutError):
        await within(0.01, slow())
    assert ended == ["cancelled"]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(result(), 1) == 1


async def test_cancelling_the_caller_is_no_timeout() -> None:
    caller = asyncio.create_task(within(60, asyncio.sleep(60)))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_error_of_the_call_is_the_callers() -> None:
    async def fail() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await within(1, fail())
