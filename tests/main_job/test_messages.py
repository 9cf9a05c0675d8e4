"""The main job for messages: an image scores each message of a queue once, while its workers are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fnpack.devbus import DevBusThread, QueueSettings

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

SCORE = """
import json, time
from azureml.contrib.services.aml_request import rawhttp

def init():
    pass

@rawhttp
def run(request):
    data = request.get_data()
    if data.startswith(b"poison"):
        raise ValueError("cannot be scored")
    time.sleep(0.01)
    if data.startswith(b"\\xff"):
        return data[::-1]
    return {"answer": json.loads(data)["x"] * 2}
"""
# Ends every worker of the container, from within it; says how many there were.
KILL = """
import os, signal
count = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        command = open(f"/proc/{pid}/cmdline", "rb").read()
    except OSError:
        continue
    if b"fnpack_host.worker" in command and int(pid) != os.getpid():
        os.kill(int(pid), signal.SIGKILL)
        count += 1
print(count)
"""
MESSAGES, POISON, KILLS = 500, 3, 4


@pytest.fixture
def bus() -> Iterator[DevBusThread]:
    with DevBusThread() as running:
        running.ensure_queue("in", QueueSettings(lock_ms=30_000))
        running.ensure_queue("out", QueueSettings(duplicate_window_ms=600_000))
        yield running


@pytest.fixture
def image(tmp_path: Path, debian_base: str, docker_engine) -> Iterator[str]:
    (tmp_path / "score.py").write_text(SCORE)
    tag = f"fnpack-messages:{uuid.uuid4().hex[:8]}"
    options = ["--entry-script", "score.py", "--trigger", "service_bus_queue", "--host", "fnpack"]
    queues = ["--input-queue", "in", "--output-queue", "out"]
    command = ["build", *options, *queues, "--base-image", debian_base, "--tag", tag]
    done = subprocess.run(
        [sys.executable, "-m", "fnpack", *command],
        cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    yield done.stdout.strip()
    docker_engine.images.remove(tag, force=True)


def test_every_message_is_scored_once_while_workers_are_killed_and_poison_ends_in_the_dead_letters(
    bus, image, run_image, free_port, wait_until
) -> None:
    texts = [json.dumps({"x": number}).encode() for number in range(MESSAGES // 2)]
    raw = [b"\xff%d" % number for number in range(MESSAGES - len(texts))]
    poison = [b"poison%d" % number for number in range(POISON)]
    mixed = [body for pair in zip(texts, raw, strict=True) for body in pair]
    send(bus, [*poison[:1], *mixed[:200], *poison[1:], *mixed[200:]])
    container = run_image(image, TriggerConnectionString=bus.connection_string, FNPACK_PORT=str(free_port()))
    for number in range(1, KILLS + 1):
        wait_until(lambda number=number: length(bus, "out") >= number * MESSAGES // (KILLS + 1), 60)
        code, output = container.exec_run(["python3", "-c", KILL])
        assert (code, output.strip()) == (0, b"1"), output
    wait_until(lambda: length(bus, "out") >= MESSAGES and not length(bus, "in"), 60)
    container.stop(timeout=30)
    assert container.wait()["StatusCode"] == 0
    assert container.logs().count(b"ended unexpectedly; starting another") == KILLS
    answers = Counter(body(one) for one in take(bus, "out"))
    assert set(answers.values()) == {1}
    scored = [json.loads(one)["answer"] for one in answers if one.startswith(b"{")]
    assert sorted(scored) == [number * 2 for number in range(len(texts))]
    assert {one for one in answers if not one.startswith(b"{")} == {one[::-1] for one in raw}
    dead = take(bus, "in", sub_queue="deadletter")
    assert sorted(map(body, dead)) == poison
    assert {one.dead_letter_reason for one in dead} == {"MaxDeliveryCountExceeded"}


def body(message: ServiceBusReceivedMessage) -> bytes:
    return b"".join(message.body)


def length(bus: DevBusThread, queue: str) -> int:
    return bus.call(lambda service: len(service.ensure_queue(queue)))


def send(bus: DevBusThread, bodies: list[bytes]) -> None:
    from azure.servicebus import ServiceBusClient, ServiceBusMessage

    with (
        ServiceBusClient.from_connection_string(bus.connection_string) as client,
        client.get_queue_sender("in") as sender,
    ):
        sender.send_messages([ServiceBusMessage(one) for one in bodies])


def take(bus: DevBusThread, queue: str, **options: Any) -> list[ServiceBusReceivedMessage]:
    """Every message of a queue."""
    from azure.servicebus import ServiceBusClient

    found: list[ServiceBusReceivedMessage] = []
    with (
        ServiceBusClient.from_connection_string(bus.connection_string) as client,
        client.get_queue_receiver(queue, receive_mode="receiveanddelete", **options) as receiver,
    ):
        while got := receiver.receive_messages(MESSAGES * 2, max_wait_time=1):
            found += got
    return found
