"""Messages per second from one storage queue to another, beside the bare SDK doing the same."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import statistics
import time
from pathlib import Path

from blob_throughput import run_command, run_quick
from measure import Table, process
from own_log import span_of

from services import Azurite

MESSAGES, RUNS, BATCH = 1000, 3, 16
AT_ONCE = BATCH + BATCH // 2 * (os.cpu_count() or 1)  # what the host has in flight by default
BODY = base64.b64encode(b'{"data": [1, 2, 3]}').decode()
BINDINGS = [
    {"type": "queueTrigger", "direction": "in", "name": "message", "queueName": "input"},
    {"type": "queue", "direction": "out", "name": "$return", "queueName": "output"},
]
FUNCTION = """
import json

def main(message):
    return json.dumps(sum(json.loads(message.get_body())["data"]))
"""


def run(work: Path) -> Table:
    """Measure; `work` is an empty folder."""
    app, rates = make_app(work), []
    for number in range(RUNS):
        with Azurite() as azurite:
            bare_s = run_quick(bare(azurite.connection_string))
        with Azurite() as azurite:  # a fresh one: it slows down with what it has been through
            asyncio.run(fill(azurite.connection_string, "input"))
            log = work / f"log-{number}"
            with process(run_command(app), log, {"AzureWebJobsStorage": azurite.connection_string}):
                rates.append((MESSAGES / bare_s, MESSAGES / span_of(log, MESSAGES)))
    table = Table(
        f"Queue: {MESSAGES} waiting messages, up to {AT_ONCE} in flight, median of {RUNS} runs",
        ("what", "messages/s", "to the floor"),
    )
    floor, own = (statistics.median(column) for column in zip(*rates, strict=True))
    table.rows.append(("floor: bare aio SDK, receive + send + delete in one process", f"{floor:.0f}", "1.00"))
    table.rows.append(("fnpack run", f"{own:.0f}", f"{own / floor:.2f}"))
    return table


def make_app(work: Path) -> Path:
    """A function app as users write it."""
    folder = work / "app" / "transform"
    folder.mkdir(parents=True)
    (folder.parent / "host.json").write_text('{"version": "2.0"}')
    (folder / "function.json").write_text(json.dumps({"bindings": BINDINGS}))
    (folder / "__init__.py").write_text(FUNCTION)
    return folder.parent


async def fill(connection_string: str, name: str) -> None:
    """Create the queue `name` with its messages."""
    from azure.storage.queue.aio import QueueClient

    async with QueueClient.from_connection_string(connection_string, name) as queue:
        await queue.create_queue()
        for sent in range(0, MESSAGES, AT_ONCE):
            await asyncio.gather(*(queue.send_message(BODY) for _ in range(min(AT_ONCE, MESSAGES - sent))))


async def bare(connection_string: str) -> float:
    """Seconds that the SDK needs, as many messages in flight as the host has."""
    from azure.storage.queue.aio import QueueClient

    await fill(connection_string, "bare-in")
    source = QueueClient.from_connection_string(connection_string, "bare-in")
    target = QueueClient.from_connection_string(connection_string, "bare-out")
    async with source, target:
        await target.create_queue()
        left = MESSAGES
        since = time.perf_counter()

        async def receiver() -> None:
            nonlocal left
            while left > 0:
                pages = source.receive_messages(messages_per_page=BATCH, max_messages=BATCH).by_page()
                async for page in pages:
                    messages = [message async for message in page]
                    left -= len(messages)
                    await asyncio.gather(*(one(message) for message in messages))
                    break

        async def one(message) -> None:  # type: ignore[no-untyped-def]
            body = json.loads(base64.b64decode(message.content))
            await target.send_message(base64.b64encode(json.dumps(sum(body["data"])).encode()).decode())
            await source.delete_message(message.id, message.pop_receipt)

        await asyncio.gather(*(receiver() for _ in range(AT_ONCE // BATCH)))
        return time.perf_counter() - since
