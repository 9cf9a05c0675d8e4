"""Messages from one Service Bus queue to another, beside the bare SDK doing the same at the same broker in one run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from blob_latency import SCRIPT
from blob_throughput import run_command
from measure import Table, fnpack, percentile, process
from own_log import span_of, wait_ready

T = TypeVar("T")
MESSAGES, ONE_BY_ONE, RUNS = 2000, 200, 3
AT_ONCE = 16 * (os.cpu_count() or 1)  # what the host has in flight by default
BODY = b'{"data": [1, 2, 3]}'
QUEUES = ("in", "out", "bare-in", "bare-out", "single-in", "single-out")


def run(work: Path) -> list[Table]:
    """Measure; `work` is an empty folder."""
    (work / "sum").mkdir()
    (work / "sum" / "score.py").write_text(SCRIPT)
    app = work / "app"
    options = ["--trigger", "service_bus_queue", "--input-queue", "in", "--output-queue", "out"]
    fnpack("build", *options, "--app-only", str(app), cwd=work / "sum")
    return [throughput(app, work), latency(app, work)]


def throughput(app: Path, work: Path) -> Table:
    """Messages that wait, as fast as they go."""
    rows: list[tuple[float, float, float, float, float]] = []
    for number in range(RUNS):
        with broker() as (connection_string, pid):
            on_uvloop(fill(connection_string, "bare-in", MESSAGES))
            since = cpu_s(pid)
            together_s = on_uvloop(bare(connection_string, "bare", MESSAGES, together=True))
            floor_cpu = cpu_s(pid) - since
            on_uvloop(fill(connection_string, "single-in", MESSAGES))
            single_s = on_uvloop(bare(connection_string, "single", MESSAGES, together=False))
            on_uvloop(fill(connection_string, "in", MESSAGES))
            since = cpu_s(pid)
            log = work / f"log-{number}"
            with process(run_command(app), log, {"TriggerConnectionString": connection_string}):
                own_s = span_of(log, MESSAGES)
            own_cpu = cpu_s(pid) - since
        rows.append(
            (
                MESSAGES / together_s,
                MESSAGES / single_s,
                MESSAGES / own_s,
                floor_cpu / MESSAGES,
                own_cpu / MESSAGES,
            )
        )
    together, single, own, floor_cpu, own_cpu = (
        statistics.median(column) for column in zip(*rows, strict=True)
    )
    table = Table(
        f"Service Bus: {MESSAGES} waiting messages, up to {AT_ONCE} in flight, median of {RUNS} runs",
        ("what", "messages/s", "to the floor", "broker CPU µs per message"),
    )
    text = f"floor: bare aio SDK, one process: receive up to {AT_ONCE}, "
    table.rows += [
        (
            f"{text}send in one call, complete each",
            f"{together:.0f}",
            "1.00",
            f"{floor_cpu * 1e6:.0f}",
        ),
        (f"{text}send each, complete each", f"{single:.0f}", f"{single / together:.2f}", ""),
        ("fnpack run, entry script", f"{own:.0f}", f"{own / together:.2f}", f"{own_cpu * 1e6:.0f}"),
    ]
    table.notes.append(
        "The broker is the embedded one, in a process of its own. All share the machine's cores."
    )
    return table


def latency(app: Path, work: Path) -> Table:
    """From the send to the answer's arrival, one message at a time."""
    table = Table(
        f"Service Bus: send to answer, {ONE_BY_ONE} messages one by one",
        ("what", "p50 ms", "p99 ms", "max ms"),
    )
    with broker() as (connection_string, _):
        command = [sys.executable, __file__, connection_string, "bare", str(ONE_BY_ONE + 1)]
        with process(command, work / "bare-log"):
            floor = on_uvloop(ask(connection_string, "bare-in", "bare-out"))
        log = work / "latency-log"
        with process(run_command(app), log, {"TriggerConnectionString": connection_string}):
            wait_ready(log)
            own = on_uvloop(ask(connection_string, "in", "out"))
    for name, values in (("floor: bare aio SDK, receive 1, send, complete", floor), ("fnpack run", own)):
        ms = [value * 1000 for value in values]
        table.rows.append(
            (name, f"{statistics.median(ms):.1f}", f"{percentile(ms, 0.99):.1f}", f"{max(ms):.1f}")
        )
    return table


def on_uvloop(work: Coroutine[None, None, T]) -> T:
    """On the loop that the host uses, too."""
    import uvloop

    return uvloop.run(work)


@contextmanager
def broker() -> Iterator[tuple[str, int]]:
    """The embedded Service Bus as a process: its connection string and process id."""
    queues = [argument for name in QUEUES for argument in ("--queue", name)]
    child = subprocess.Popen(
        [sys.executable, "-m", "fnpack.devbus", *queues],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    try:
        yield child.stdout.readline().strip(), child.pid
    finally:
        child.terminate()
        child.wait(10)
        child.stdout.close()


def cpu_s(pid: int) -> float:
    """The CPU time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def fill(connection_string: str, queue: str, count: int) -> float:
    """Send the messages that wait."""
    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient

    async with (
        ServiceBusClient.from_connection_string(connection_string) as client,
        client.get_queue_sender(queue) as sender,
    ):
        for _ in range(0, count, 500):
            await sender.send_messages([ServiceBusMessage(BODY) for _ in range(500)])
    return 0.0


async def bare(connection_string: str, name: str, count: int, *, together: bool) -> float:
    """Seconds that the SDK needs, from the first receive on."""
    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient

    async with (
        ServiceBusClient.from_connection_string(connection_string) as client,
        client.get_queue_receiver(f"{name}-in", socket_timeout=0.02) as receiver,
        client.get_queue_sender(f"{name}-out") as sender,
    ):
        left, since = count, time.perf_counter()
        while left > 0:
            found = await receiver.receive_messages(min(AT_ONCE, left), max_wait_time=30)
            answers = [ServiceBusMessage(str(sum(json.loads(b"".join(one.body))["data"]))) for one in found]
            for batch in [answers] if together else [[answer] for answer in answers]:
                await sender.send_messages(batch)
            for one in found:
                await receiver.complete_message(one)
            left -= len(found)
        return time.perf_counter() - since


async def ask(connection_string: str, source: str, target: str) -> list[float]:
    """Seconds from each send to the arrival of its answer; the first, which waits for links, is left out."""
    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient

    times = []
    async with (
        ServiceBusClient.from_connection_string(connection_string) as client,
        client.get_queue_receiver(
            target, receive_mode="receiveanddelete", prefetch_count=1, socket_timeout=0.02
        ) as receiver,
        client.get_queue_sender(source) as sender,
    ):
        for _ in range(ONE_BY_ONE + 1):
            since = time.perf_counter()
            await sender.send_messages(ServiceBusMessage(BODY))
            if not await receiver.receive_messages(1, max_wait_time=30):
                raise SystemExit("no answer in 30 s")
            times.append(time.perf_counter() - since)
    return times[1:]


async def echo(connection_string: str, name: str, count: int) -> float:
    """Answer so many messages, one at a time."""
    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient

    async with (
        ServiceBusClient.from_connection_string(connection_string) as client,
        client.get_queue_receiver(f"{name}-in", socket_timeout=0.02) as receiver,
        client.get_queue_sender(f"{name}-out") as sender,
    ):
        for _ in range(count):
            (one,) = await receiver.receive_messages(1, max_wait_time=60)
            answer = str(sum(json.loads(b"".join(one.body))["data"]))
            await sender.send_messages(ServiceBusMessage(answer))
            await receiver.complete_message(one)
    return 0.0


if __name__ == "__main__":
    on_uvloop(echo(sys.argv[1], sys.argv[2], int(sys.argv[3])))
