"""A chaos test's storage account seen from the outside, and its hosts, which can be killed and replaced."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient
from azure.storage.blob import LinearRetry as BlobRetry
from azure.storage.queue import LinearRetry as QueueRetry
from azure.storage.queue import QueueServiceClient

from fnpack_triggers.blob.digests import blob_digest
from fnpack_triggers.blob.receipts import Receipts
from fnpack_triggers.blob.state import STATE_CONTAINER

if TYPE_CHECKING:
    import subprocess

BLOB = """
import hashlib, os, time

def main(event, output):
    data = event.read()
    with open(os.environ["TALLY"], "ab", buffering=0) as tally:
        tally.write(b"blob %s\\n" % data.split()[1])
    time.sleep(0.005)
    output.set(hashlib.sha256(data).hexdigest())
"""
MESSAGE = BLOB.replace("event.read()", "event.get_body()").replace(
    'b"blob %s\\n" % data.split()[1]', 'b"message %s\\n" % data.strip(b"{}").split()[1]'
)


def files() -> dict[str, str]:
    """The app's files by path."""

    def function(trigger: dict[str, str], out: str) -> str:
        trigger = {**trigger, "direction": "in", "name": "event"}
        output = {"type": "blob", "direction": "out", "name": "output", "path": out}
        return json.dumps({"bindings": [trigger, output]})

    return {
        "blobs/function.json": function(
            {"type": "blobTrigger", "path": "inputs/{name}"}, "outputs/blob-{name}"
        ),
        "blobs/__init__.py": BLOB,
        "messages/function.json": function(
            {"type": "queueTrigger", "queueName": "work"}, "outputs/message-{number}"
        ),
        "messages/__init__.py": MESSAGE,
    }


def payload(kind: str, number: int) -> bytes:
    """What goes in."""
    return f"blob {number}".encode() if kind == "blob" else json.dumps({"number": number}).encode()


QUEUE = "work"
FEEDERS = 4
PATIENCE: dict[str, Any] = {
    "backoff": 1,
    "random_jitter_range": 0,
    **dict.fromkeys(("retry_total", "retry_connect", "retry_read", "retry_status"), 60),
}


class HostProcess(Protocol):
    """What `start_host` gives."""

    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str: ...

    def wait_ready(self, timeout_s: float) -> None: ...


class Account:
    """Calls are repeated while storage restarts."""

    def __init__(self, connection_string: str) -> None:
        self._open = ExitStack()
        self.blobs: BlobServiceClient = self._open.enter_context(
            BlobServiceClient.from_connection_string(connection_string, retry_policy=BlobRetry(**PATIENCE))
        )
        self.queues: QueueServiceClient = self._open.enter_context(
            QueueServiceClient.from_connection_string(connection_string, retry_policy=QueueRetry(**PATIENCE))
        )
        self._feeders = self._open.enter_context(ThreadPoolExecutor(FEEDERS))

    def create(self) -> None:
        for name in ("inputs", "outputs"):
            self.blobs.create_container(name)
        self.queues.create_queue(QUEUE)

    @contextmanager
    def feeding(self, numbers: Sequence[int]) -> Iterator[None]:
        """Write a blob and a message for each number while the block runs; returns when all are there."""
        portions = [numbers[at::FEEDERS] for at in range(FEEDERS)]
        under_way = [self._feeders.submit(self._feed, portion) for portion in portions]
        yield
        for one in under_way:
            one.result(60)

    def outputs(self) -> dict[str, bytes]:
        """Each output by name: its right content, or else its MD5."""
        found = {}
        for blob in self.blobs.get_container_client("outputs").list_blobs():
            kind, _, number = blob.name.partition("-")
            right = self.right_output(kind, int(number))
            md5 = bytes(blob.content_settings.content_md5 or b"")
            found[blob.name] = right if md5 == hashlib.md5(right).digest() else md5
        return found

    def waiting(self) -> int:
        """Messages in the queue, visible or not."""
        return self.queues.get_queue_client(QUEUE).get_queue_properties().approximate_message_count or 0

    def poison_queues(self) -> list[str]:
        return [queue.name for queue in self.queues.list_queues() if queue.name != QUEUE]

    def open_receipts(self) -> list[str]:
        """Blobs whose version no receipt says to be finished."""
        known, state = Receipts(), self.blobs.get_container_client(STATE_CONTAINER)
        for segment in list(state.list_blobs("fnpack/blobtrigger/")):
            if "/receipts/" in segment.name:
                known.apply(state.download_blob(segment.name).readall())
        listed = self.blobs.get_container_client("inputs").list_blobs()
        return [
            blob.name
            for blob in listed
            if not known.is_finished(blob_digest("inputs", blob.name, blob.etag.strip('"')))
        ]

    def _feed(self, numbers: Sequence[int]) -> None:
        queue, container = self.queues.get_queue_client(QUEUE), self.blobs.get_container_client("inputs")
        for number in numbers:
            with suppress(ResourceExistsError):  # an upload whose answer was lost
                container.upload_blob(str(number), payload("blob", number))
            queue.send_message(base64.b64encode(payload("message", number)).decode())

    def close(self) -> None:
        self._open.close()

    @staticmethod
    def right_output(kind: str, number: int) -> bytes:
        """What must come out for an input."""
        return hashlib.sha256(payload(kind, number)).hexdigest().encode()


class Crew:
    """Hosts of one app; `launch` starts one and does not wait for it."""

    def __init__(self, launch: Callable[[], HostProcess]) -> None:
        self.hosts: list[HostProcess] = []
        self.killed: Counter[str] = Counter()
        self._launch = launch
        self._workers: set[int] = set()

    def start(self, count: int) -> None:
        """Start `count` hosts and wait until they are ready."""
        fresh = [self._launch() for _ in range(count)]
        self.hosts += fresh
        for host in fresh:
            host.wait_ready(40)

    def kill_host(self, fate: random.Random) -> None:
        """SIGKILL one host, and start another in its place without waiting for it."""
        at = fate.randrange(len(self.hosts))
        self._workers.update(workers_of(self.hosts[at].process.pid))
        self.hosts[at].process.kill()
        self.hosts[at].process.wait()
        self.hosts[at] = self._launch()
        self.killed["host"] += 1

    def kill_worker(self, fate: random.Random) -> None:
        """SIGKILL a worker; its host starts another. A host that is still starting would end, as it should."""
        running = [host for host in self.hosts if "is ready on" in host.log]
        pids = [pid for host in running for pid in workers_of(host.process.pid)]
        if pids:
            pid = fate.choice(pids)
            self._workers.add(pid)
            os.kill(pid, signal.SIGKILL)
            self.killed["worker"] += 1

    def stop(self) -> list[int]:
        """SIGTERM to all; their exit codes."""
        for host in self.hosts:
            self._workers.update(workers_of(host.process.pid))
            host.process.terminate()
        codes = [host.process.wait(60) for host in self.hosts]
        self.hosts = []
        return codes

    def left_over_workers(self) -> list[int]:
        """Workers of stopped and killed hosts that still run."""
        return [pid for pid in self._workers if b"fnpack_host.worker" in command_line(pid)]


def workers_of(pid: int) -> list[int]:
    """The child processes of a host."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def account_of() -> Iterator[Callable[[str], Account]]:
    """`account_of(connection_string)`: the account, with the containers and the queue of the app."""
    opened: list[Account] = []

    def open_one(connection_string: str) -> Account:
        opened.append(Account(connection_string))
        opened[0].create()
        return opened[0]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def crew_of(app_of: Callable[..., Path], start_host: Callable[..., HostProcess]) -> Callable[..., Crew]:
    """`crew_of(settings)`: hosts of the app, none started yet."""

    def make(settings: Mapping[str, str]) -> Crew:
        app = app_of(files())
        return Crew(lambda: start_host(app, settings=settings, ready=False))

    return make
