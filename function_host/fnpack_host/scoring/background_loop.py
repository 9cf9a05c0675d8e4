"""Awaits an async `run` for callers that cannot: one event loop, in a thread that lives as long as the process.

A function host that calls `main` synchronously gives it no loop. A new loop per call would not do, since clients
that a script keeps (an aiohttp session, say) work on the loop they were made on alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def wait_for(work: Awaitable[T]) -> T:
    """Await `work` on the background loop, while this thread waits; calls from several threads overlap.

    Raises what `work` raises. There is no timeout here: how long a call may take is the function host's to say.
    """
    value, error = asyncio.run_coroutine_threadsafe(outcome(work), _running_loop()).result()
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


async def outcome(work: Awaitable[T]) -> tuple[T | None, BaseException | None]:
    """What `work` returned or raised, as a value: an `exit()` in a script that got out of a task would end the loop."""
    try:
        return await work, None
    except BaseException as error:  # raised again where somebody waits for it
        return None, error


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            # a daemon: it must not keep a process alive that is otherwise done
            threading.Thread(target=_loop.run_forever, name="fnpack-scoring", daemon=True).start()
        return _loop
