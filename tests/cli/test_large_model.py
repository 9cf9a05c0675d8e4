"""A model larger than the memory that a build may use: it is streamed, and one that did not change is left alone.

FNPACK_TEST_MODEL_GB=5 makes the model that large; without it, it is large enough to show that memory does not grow.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from plain_base import write_base
from tests.cli.conftest import CommandLine

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="memory and reads are counted by Linux"),
]
MODEL_GB = float(os.environ.get("FNPACK_TEST_MODEL_GB", "0.5"))
MODEL_BYTES = int(MODEL_GB * 1e9)
MOST_MEMORY_BYTES = 100e6  # of all processes, the interpreter's own included
ELSE_BYTES = 30e6  # what a build reads beside the model: modules, layers


@dataclass(frozen=True)
class Measured:
    """What a command took: the most memory that it and its child processes had at once, and what they read."""

    stdout: str
    peak_bytes: int
    read_bytes: int
    seconds: float


def measured(fnpack: CommandLine, *arguments: str, settings: dict[str, str]) -> Measured:
    """Run the command to its good end, looking at its memory all the while."""
    since, peak = time.monotonic(), 0
    command = [sys.executable, "-m", "fnpack", *arguments]
    with (fnpack.home / "stderr").open("w+") as stderr, (fnpack.home / "stdout").open("w+") as stdout:
        process = subprocess.Popen(
            command, cwd=fnpack.folder, env=fnpack.environment(settings), stdout=stdout, stderr=stderr
        )
        while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            peak = max(peak, sum(_resident_bytes(one) for one in _tree(process.pid)))
            time.sleep(0.005)
        # Of a process that has ended and was not waited for, with those that it has waited for (proc(5)).
        counts = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
        process.wait()
        stderr.seek(0)
        stdout.seek(0)
        assert process.returncode == 0, stderr.read()
        return Measured(stdout.read(), peak, int(counts["rchar"]), time.monotonic() - since)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):  # it has just ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def write_model(path: Path, size_bytes: int) -> None:
    """A file that no compressor makes smaller, of a minute ago: one of just now is not trusted to stay as it is."""
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for start in range(0, size_bytes, len(block)):
            file.write(block[: size_bytes - start])
    os.utime(path, (time.time() - 60,) * 2)


@pytest.fixture
def build(fnpack: CommandLine, tmp_path: Path) -> Iterator[Callable[..., Measured]]:
    """Builds the project with a model of MODEL_BYTES; its cache has all but what the model becomes."""
    base = write_base(tmp_path / "base")
    settings = {"FNPACK_CACHE": str(tmp_path / "cache")}
    common = ["build", "--base-image", base, "--auth-level", "anonymous", "--json", "--progress", "none"]
    done = fnpack(*common, "--model", "model.pkl", "--output", "oci-layout:small", settings=settings)
    assert done.code == 0, done.stderr
    write_model(fnpack.folder / "weights.bin", MODEL_BYTES)

    def run(*arguments: str) -> Measured:
        options = () if "--model" in arguments else ("--model", "weights.bin")
        found = measured(fnpack, *common, *options, *arguments, settings=settings)
        print(
            f"{MODEL_GB:g} GB, {' '.join(arguments)}: {found.seconds:.1f} s, at most {found.peak_bytes / 1e6:.0f} MB "
            f"of memory, {found.read_bytes / 1e6:.1f} MB read"
        )
        return found

    yield run
    shutil.rmtree(fnpack.folder)  # pytest keeps the folders of earlier runs


def test_large_model_is_pushed_in_little_memory_and_an_unchanged_one_neither_read_nor_sent(
    fnpack, build, registry_factory, tmp_path
) -> None:
    registry = registry_factory().address
    options = ["--push", "--tag", f"{registry}/large:{uuid.uuid4().hex[:8]}"]
    first = build(*options)
    assert first.peak_bytes < MOST_MEMORY_BYTES
    assert first.read_bytes < 2 * MODEL_BYTES + ELSE_BYTES, "once for its digest, once to send it"
    assert json.loads(first.stdout)["sent_bytes"] > MODEL_BYTES
    again = build(*options)
    assert again.peak_bytes < MOST_MEMORY_BYTES
    assert again.read_bytes < ELSE_BYTES, "the model is read"
    (fnpack.folder / "score.py").write_text(
        "def init():\n    pass\n\n\ndef run(data):\n    return 'edited'\n"
    )
    edited = build(*options)
    assert edited.read_bytes < ELSE_BYTES, "the model is read"
    assert 0 < json.loads(edited.stdout)["sent_bytes"] < 1e6
    for file in (tmp_path / "cache").rglob("models/*"):
        file.unlink()  # as on another machine: its digest has to be found, and the registry has it
    known = build(*options)
    assert known.read_bytes < MODEL_BYTES + ELSE_BYTES
    assert json.loads(known.stdout)["sent_bytes"] == 0
    images = {json.loads(one.stdout)["image"] for one in (first, again)}
    assert len(images) == 1
    assert json.loads(known.stdout)["image"] == json.loads(edited.stdout)["image"]


def test_model_of_many_smaller_files_needs_no_more_memory_and_is_left_alone_unchanged(build, fnpack) -> None:
    (fnpack.folder / "shards").mkdir()
    for number in range(12):
        write_model(fnpack.folder / "shards" / f"{number}.bin", 15_000_000)  # together one layer
    options = ["--model", "shards", "--output", "oci-layout:image"]
    first, again = build(*options), build(*options)
    assert max(first.peak_bytes, again.peak_bytes) < MOST_MEMORY_BYTES
    assert again.read_bytes < ELSE_BYTES, "the model is read"
    assert json.loads(again.stdout)["image"] == json.loads(first.stdout)["image"]


def test_large_model_that_compresses_is_packed_in_little_memory(build, fnpack) -> None:
    model = fnpack.folder / "sparse.bin"
    model.touch()
    os.truncate(model, MODEL_BYTES)
    os.utime(model, (time.time() - 60,) * 2)
    options = ["--model", "sparse.bin", "--output", "oci-layout:image"]
    first, again = build(*options), build(*options)
    assert max(first.peak_bytes, again.peak_bytes) < MOST_MEMORY_BYTES
    assert first.read_bytes < 2.02 * MODEL_BYTES + ELSE_BYTES, "once for its digest, once to pack it"
    assert again.read_bytes < ELSE_BYTES, "the model is read"


@pytest.mark.parametrize("output", ["oci-layout:image", "docker-archive:image.tar"])
def test_large_model_is_written_in_little_memory(build, fnpack, output) -> None:
    first = build("--output", output)
    assert first.peak_bytes < MOST_MEMORY_BYTES
    assert first.read_bytes < 2 * MODEL_BYTES + ELSE_BYTES
    if output.startswith("oci-layout"):
        again = build("--output", output)
        assert again.read_bytes < ELSE_BYTES, "what the layout has is written again"
