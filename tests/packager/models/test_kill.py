"""Eight writers at once, killed at random moments: no version lost or given twice, no half model, no litter."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fnpack.models.local import LocalRegistry
from fnpack.models.registry import Draft, ModelRegistry
from fnpack.models.shared import SharedRegistry

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")

NAMES = ("alpha", "beta")
# Registers folders of random content for ever; a tag says what the content has to be. One line for each answer.
WRITER = """
import hashlib, json, os, sys
from pathlib import Path
from fnpack.models.opened import registry_at
from fnpack.models.record import ModelFacts
from fnpack.models.registry import Draft, with_added
from dataclasses import replace

url, folder, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(",")
registry = registry_at(url, folder / "cache")
number = 0
while True:
    number += 1
    model = folder / "net"
    model.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    for file in ("a", "b", "c"):
        data = os.urandom(int(sys.argv[4]))
        (model / file).write_bytes(data)
        digest.update(data)
    name = names[number % len(names)]
    record = registry.register(Draft(name, model, ModelFacts(tags={"content": digest.hexdigest()})))
    print(json.dumps([record.name, record.version, digest.hexdigest()]), flush=True)
    registry.change(name, record.version, lambda old: replace(old, facts=replace(old.facts, description="seen")))
    if number % 5 == 0:
        print(json.dumps([record.name, record.version, "to be deleted"]), flush=True)
        registry.delete(name, record.version)
        print(json.dumps([record.name, record.version, "deleted"]), flush=True)
"""


class Writers:
    """Keeps eight writers alive, and what they have said, while a stranger kills them."""

    def __init__(self, url: str, folder: Path, size: int, environment: dict[str, str]) -> None:
        self.url, self.folder, self.size, self.environment = url, folder, size, environment
        self.said: list[tuple[str, int, str]] = []
        self.running: list[subprocess.Popen[str]] = []
        self.killed = self._started = 0
        self._readers: list[threading.Thread] = []

    def start(self) -> None:
        self._started += 1
        own = self.folder / f"writer-{self._started}"
        own.mkdir()
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, self.url, str(own), ",".join(NAMES), str(self.size)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, **self.environment},
        )  # fmt: skip
        self.running.append(writer)
        reader = threading.Thread(target=self._read, args=(writer,))
        reader.start()
        self._readers.append(reader)

    def _read(self, writer: subprocess.Popen[str]) -> None:
        assert writer.stdout
        with writer.stdout:
            for line in writer.stdout:
                if line.endswith("\n"):
                    self.said.append(tuple(json.loads(line)))

    def kill(self, writer: subprocess.Popen[str]) -> None:
        self.running.remove(writer)
        assert writer.poll() is None, "a writer ended by itself"
        writer.kill()
        writer.wait()
        self.killed += 1

    def end(self) -> None:
        for writer in list(self.running):
            self.kill(writer)
        for reader in self._readers:
            reader.join()


def ordeal(
    url: str, folder: Path, *, kills: int, size: int, environment: dict[str, str] | None = None
) -> Writers:
    """Eight writers from beginning to end, `kills` of them replaced on the way."""
    writers = Writers(url, folder, size, environment or {})
    try:
        for _ in range(8):
            writers.start()
        for _ in range(kills):
            heard, deadline = len(writers.said), time.monotonic() + 60
            while len(writers.said) < heard + 2:
                assert time.monotonic() < deadline, "the writers do not get on"
                time.sleep(0.005)
            time.sleep(random.random() * 0.05)  # the moment is the point
            writers.kill(random.choice(writers.running))
            writers.start()
    finally:
        writers.end()
    return writers


def check(registry: ModelRegistry, writers: Writers, tmp_path: Path) -> None:
    """What was answered is there, whole and once; what is there besides is whole too."""
    records = {(record.name, record.version): record for record in registry.records()}
    said = writers.said
    deleted = {(name, version) for name, version, what in said if what == "deleted"}
    doubtful = {(name, version) for name, version, what in said if what == "to be deleted"}
    registered = [
        ((name, version), what) for name, version, what in said if what not in ("deleted", "to be deleted")
    ]
    assert len(registered) == len(dict(registered)), "a version was given twice"
    assert len(registered) > 10
    for key, digest in registered:
        if key not in doubtful:
            assert records[key].facts.tags["content"] == digest
    assert not deleted & records.keys()
    for record in records.values():
        folder = registry.fetch(record, tmp_path / "out" / record.name / str(record.version))
        content = b"".join((folder / file).read_bytes() for file in ("a", "b", "c"))
        assert hashlib.sha256(content).hexdigest() == record.facts.tags["content"]
    # A version is taken together with its model: all but the ones whose answer a kill cut off were said.
    (tmp_path / "last").write_text("x")
    given = sum(registry.register(Draft(name, tmp_path / "last")).version - 1 for name in NAMES)
    assert 0 <= given - len(registered) <= writers.killed


def test_local_registry_survives_killed_writers(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    writers = ordeal(str(root), tmp_path, kills=40, size=150_000)
    registry = LocalRegistry(root)
    check(registry, writers, tmp_path)  # it registers, and so sweeps, without being asked
    used = {file.digest for record in registry.records() for file in record.files}
    assert {path.name for path in (root / "content").glob("??/*")} == used
    assert list((root / "staging").iterdir()) == []
    assert registry.collect().files == 0


def test_shared_folder_survives_killed_writers(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shared"
    check(SharedRegistry(url, tmp_path / "cache"), ordeal(url, tmp_path, kills=15, size=20_000), tmp_path)


def test_blob_container_survives_killed_writers(tmp_path: Path, container) -> None:
    url, options = container
    environment = {"AZURE_STORAGE_CONNECTION_STRING": options["connection_string"]}
    writers = ordeal(url, tmp_path, kills=6, size=20_000, environment=environment)
    check(SharedRegistry(url, tmp_path / "cache", options), writers, tmp_path)
