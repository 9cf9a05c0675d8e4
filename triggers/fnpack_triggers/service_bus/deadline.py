"""A deadline for one call without a task of its own, such as asyncio.wait_for makes: there are thousands of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

_T = TypeVar("_T")


async def within(timeout_s: float, call: Awaitable[_T]) -> _T:
    """The result of `call`, which is cancelled after `timeout_s`; then asyncio.TimeoutError is raised."""
    task, is_over = asyncio.current_task(), False
    assert task is not None

    def end() -> None:
        nonlocal is_over
        is_over = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(timeout_s, end)
    try:
        return await call
    except asyncio.CancelledError:
        if not is_over or _cancelled_by_others(task):
            raise
        raise asyncio.TimeoutError from None
    finally:
        timer.cancel()


def _cancelled_by_others(task: asyncio.Task[object]) -> bool:
    """Whether the task was cancelled besides by its deadline, as far as this Python counts that (3.11 and later)."""
    uncancel = getattr(task, "uncancel", None)
    return uncancel is not None and uncancel() > 0
