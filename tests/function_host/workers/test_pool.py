"""Workers that end at bad moments: none is leaked, and no call waits for a dead one."""

import asyncio
import os
import resource
import signal
import time

import pytest

from fnpack_host.app.function_app import FunctionApp
from fnpack_host.errors import WorkerStartError
from fnpack_host.settings import Settings
from fnpack_host.workers.pool import WorkerPool
from fnpack_host.workers.process import InvocationError, WorkerLost

FIRST = """
import os, pathlib, threading, time
def is_first():
    with open(pathlib.Path(__file__).with_name("pids"), "a") as file:
        file.write(f"{os.getpid()}\\n")
    try:
        pathlib.Path(__file__).with_name("first").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
"""
ECHO = "def run(data): return data\n"


@pytest.fixture
async def pool_of(scoring_app):
    """Makes a pool for an entry script; stops it at the end."""
    pools = []

    def make(script, count=1):
        app = FunctionApp.load(scoring_app(FIRST + script), Settings({}))
        pools.append(WorkerPool(app.start_facts(), dict(os.environ), count=count, timeout_s=60))
        return pools[-1], app.root

    yield make
    for pool in pools:
        await pool.stop()


async def call(pool, text, **facts):
    frame = await asyncio.wait_for(
        pool.call("score", {"function": "score", "invocation": "1", **facts}, text.encode()), 20
    )
    return frame.payload.decode()


def pids(root):
    path = root / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def has_ended(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_worker_that_dies_while_the_others_still_load_gets_no_call(pool_of):
    pool, _ = pool_of(
        "def init():\n"
        "    if is_first(): threading.Timer(0.2, os._exit, [3]).start()\n"
        "    else: time.sleep(1)\n" + ECHO,
        count=2,
    )
    await pool.start()
    assert await asyncio.gather(*(call(pool, f"{n}") for n in range(8))) == [f"{n}" for n in range(8)]


async def test_failed_start_leaves_no_other_worker_behind(pool_of):
    pool, root = pool_of(
        "def init():\n    if is_first(): raise RuntimeError('sesame')\n    time.sleep(0.5)\n" + ECHO, count=2
    )
    with pytest.raises(WorkerStartError, match="sesame"):
        await pool.start()
    for pid in pids(root):
        await until(lambda pid=pid: has_ended(pid))


async def test_start_that_is_given_up_ends_a_worker_that_still_loads(pool_of):
    pool, root = pool_of("def init():\n    is_first()\n    time.sleep(60)\n" + ECHO)
    start = asyncio.ensure_future(pool.start())
    await until(lambda: pids(root))
    start.cancel()
    await asyncio.wait([start])
    await until(lambda: has_ended(pids(root)[0]))


async def test_worker_that_closes_its_socket_and_goes_on_is_ended(pool_of):
    script = "def init(): is_first()\ndef run(data):\n    if data == 'close':\n        "
    pool, root = pool_of(script + "os.closerange(3, 64)\n        time.sleep(60)\n    return data\n")
    await pool.start()
    with pytest.raises(WorkerLost):
        await call(pool, "close")
    await until(lambda: has_ended(pids(root)[0]))
    assert await call(pool, "x") == "x"


async def test_call_that_cannot_be_sent_fails_alone(pool_of):
    pool, root = pool_of("def init(): is_first()\n" + ECHO)
    await pool.start()
    nested = 1
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(InvocationError, match="cannot be handed"):
        await call(pool, "x", metadata=nested)
    assert pool.pending == 0
    assert await call(pool, "y") == "y"
    assert len(pids(root)) == 1
    while isinstance(nested, list):  # or freeing it would recurse as deep
        nested = nested[0]


async def test_host_that_cannot_start_a_process_tries_again(pool_of, caplog):
    pool, _ = pool_of("def init(): is_first()\n" + ECHO)
    await pool.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        os.kill(pool.pids[0], signal.SIGKILL)
        await until(lambda: "no process can be started" in caplog.text)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert await call(pool, "x") == "x"


async def test_call_that_still_waits_when_the_pool_stops_is_answered(pool_of):
    pool, _ = pool_of("def init(): is_first()\ndef run(data):\n    time.sleep(60)\n")
    await pool.start()
    calls = [asyncio.ensure_future(call(pool, "x")) for _ in range(80)]
    await asyncio.sleep(0)
    await pool.stop()
    for one in calls:
        with pytest.raises(WorkerLost):
            await one
