"""The demo: train a model, pack it into an image, run it, drop a blob and read the prediction. Cleans up after itself.

Without a Docker Engine it builds the image into an OCI layout and runs the function-app directory; without a base
image to build on it runs the app directory alone. It says which.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import base_image
from services import Azurite, UnavailableError

if TYPE_CHECKING:
    from docker import DockerClient

T = TypeVar("T")
EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "diabetes"
MODEL = "sklearn_regression_model.pkl"
TAG = "fnpack-demo/diabetes:latest"
PULL_PATIENCE_S = 60
READY_S = 60


class Demo:
    """Prints each step with its time."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._number = 0

    def step(self, name: str, work: Callable[[], T], detail: Callable[[T], str] = lambda _: "") -> T:
        """Do one step and print its line."""
        self._number += 1
        since = time.monotonic()
        result = work()
        print(
            f"{self._number}. {name:<58} {time.monotonic() - since:5.1f} s  {detail(result)}".rstrip(),
            flush=True,
        )
        return result

    def say(self, text: str = "") -> None:
        """A line between the steps."""
        print(text, flush=True)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._since


def main() -> int:
    """Run the demo; returns the exit code."""
    demo = Demo()
    demo.say("fnpack demo: a model scores each file that lands in blob storage\n")
    with contextlib.ExitStack() as stack:
        project = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fnpack-demo-"))) / "diabetes"
        shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("*.pkl", "__pycache__"))
        demo.step("train a regression on the diabetes data", lambda: train(project), lambda _: MODEL)
        try:
            azurite = demo.step(
                "start Azurite, a local storage account", lambda: stack.enter_context(Azurite())
            )
        except UnavailableError as error:
            demo.say(f"The demo needs Azurite: {error}")
            return 4
        make_containers(azurite.connection_string)
        engine, base, _ = demo.step(
            "look for a way to build an image", lambda: find_base(stack), lambda found: found[2]
        )
        app = demo.step(
            "write the function-app directory", lambda: build_app(project), lambda path: path.name + "/"
        )
        settings = {"TriggerConnectionString": azurite.connection_string}
        if engine is not None and base:
            reference = demo.step(
                f"build the image on {base}", lambda: build_image(project, base), lambda text: text[:19]
            )
            stack.callback(remove_image, engine)
            demo.step("run the image", lambda: stack.enter_context(container(engine, reference, settings)))
        else:
            if base:
                demo.step(
                    f"build the image on {shown(base)}",
                    lambda: build_layout(project, base),
                    lambda text: text.rpartition("@")[2][:19],
                )
            demo.step("run the app directory (fnpack run)", lambda: stack.enter_context(host(app, settings)))
        output = demo.step(
            "drop sample_input.json, wait for the output", lambda: invoke(app, project, settings)
        )
        expected = demo.step("predict the same in a process of its own", lambda: predict(project))
        show(demo, project, output, expected)
        return 0 if close(json.loads(output), expected) else 1


def train(project: Path) -> None:
    """Run the example's training script."""
    run([sys.executable, "train.py"], project)


def make_containers(connection: str) -> None:
    """Create the containers that the function reads from and writes to."""
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(connection) as service:
        for name in ("input", "output"):
            service.create_container(name)


def find_base(stack: contextlib.ExitStack) -> tuple[DockerClient | None, str | None, str]:
    """The Engine and a base image: a slim Python where a registry answers, else a Debian made here, else neither."""
    slim = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    try:
        engine = stack.enter_context(base_image.docker_engine())
    except UnavailableError:
        return None, *find_base_without_engine(stack, slim)
    if pulled(engine, slim):
        return engine, slim, f"Docker Engine, on {slim}"
    try:
        return (
            engine,
            base_image.ensure(engine),
            f"Docker Engine; {slim} cannot be pulled, so on a Debian base",
        )
    except UnavailableError as error:
        return None, None, str(error)


def find_base_without_engine(stack: contextlib.ExitStack, slim: str) -> tuple[str | None, str]:
    """A base image for an OCI layout: what a registry has, else a Debian made here, else none."""
    if in_time(lambda: has_image(slim)):
        return slim, f"no Docker Engine: an OCI layout, on {slim}"
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fnpack-demo-base-")))
    try:
        return base_image.make_layout(
            folder
        ), f"no Docker Engine: an OCI layout; {slim} cannot be reached, so on a Debian base"
    except UnavailableError as error:
        return None, str(error)


def has_image(reference: str) -> bool:
    """Whether a registry answers for the image."""
    from fnpack.registry import Reference, Registries, RegistryBase, RegistryError
    from fnpack.registry.settings import RegistrySettings

    registries = Registries(RegistrySettings.discover())
    try:
        RegistryBase(Reference.parse(reference), registries).manifest()
    except RegistryError:
        return False
    finally:
        registries.close()
    return True


def in_time(work: Callable[[], bool]) -> bool:
    """What `work` says, or False where it takes too long."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        return pool.submit(work).result(PULL_PATIENCE_S)
    except concurrent.futures.TimeoutError:
        return False
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def pulled(engine: DockerClient, reference: str) -> bool:
    """Whether the Engine has the image, pulling it if a registry answers in time."""
    from docker.errors import DockerException

    if engine.images.list(reference):
        return True

    def pull() -> bool:
        try:
            engine.images.pull(reference)
        except DockerException:
            return False
        return True

    return in_time(pull)


def build_app(project: Path) -> Path:
    """`fnpack build --app-only`."""
    fnpack(["build", *options(), "--app-only", str(project.parent / "app")], project)
    return project.parent / "app"


def build_image(project: Path, base: str) -> str:
    """`fnpack build`; returns what it prints on stdout."""
    return fnpack(["build", *options(), "--base-image", base, "--tag", TAG], project).strip()


def build_layout(project: Path, base: str) -> str:
    """`fnpack build` without an Engine; returns what it prints on stdout."""
    place = f"oci-layout:{project.parent / 'image'}"
    return fnpack(["build", *options(), "--base-image", base, "--output", place], project).strip()


def shown(base: str) -> str:
    """A base image as people name it."""
    return "a Debian base" if base.startswith("oci-layout:") else base


def options() -> list[str]:
    """What the example's README says."""
    return ["--trigger", "blob", "--inference-config", "inferenceconfig.json", "--model", MODEL]


def remove_image(engine: DockerClient) -> None:
    """Take the demo's image away again; its layers stay in the build cache."""
    from docker.errors import DockerException

    with contextlib.suppress(DockerException):
        engine.images.remove(TAG, force=True)


@contextlib.contextmanager
def container(engine: DockerClient, reference: str, settings: dict[str, str]) -> Iterator[None]:
    """The image's container, read-only and without capabilities, until it is no longer needed."""
    settings = {**settings, "FNPACK_PORT": str(free_port())}
    network: str | None = "host"
    if sys.platform != "linux":  # Docker Desktop: the machine has a name of its own
        settings = {
            name: value.replace("127.0.0.1", "host.docker.internal") for name, value in settings.items()
        }
        network = None
    running = engine.containers.run(
        reference,
        detach=True,
        read_only=True,
        tmpfs={"/tmp": ""},  # noqa: S108 - in the container
        cap_drop=["ALL"],
        environment=settings,
        network_mode=network,
    )
    try:
        wait_ready(lambda: running.logs().decode("utf-8", "replace"))
        yield
    finally:
        running.remove(force=True)


@contextlib.contextmanager
def host(app: Path, settings: dict[str, str]) -> Iterator[None]:
    """`fnpack run` on the app directory."""
    log = app.parent / "host.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "fnpack", "run", str(app), "--port", "0"],
            env={**os.environ, **settings},
            stdout=file,
            stderr=file,
        )
    try:
        wait_ready(lambda: log.read_text("utf-8"))
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait_ready(log: Callable[[], str]) -> None:
    """Wait until the host says that it is ready."""
    deadline = time.monotonic() + READY_S
    while "is ready on" not in log():
        if time.monotonic() > deadline:
            raise SystemExit(f"the host is not ready after {READY_S} s; it said:\n{log()}")
        time.sleep(0.05)


def invoke(app: Path, project: Path, settings: dict[str, str]) -> str:
    """`fnpack invoke`: drop the sample as a blob and return the output blob's text."""
    return fnpack(["invoke", str(app), "--file", "sample_input.json"], project, settings).strip()


def predict(project: Path) -> list[float]:
    """What the model says without fnpack."""
    code = (
        "import json, joblib; rows = json.load(open('sample_input.json'))['data'];"
        f"print(json.dumps(joblib.load('{MODEL}').predict(rows).tolist()))"
    )
    prediction: list[float] = json.loads(run([sys.executable, "-c", code], project))
    return prediction


def show(demo: Demo, project: Path, output: str, expected: list[float]) -> None:
    """Input, output and what to do next."""
    given = " ".join((project / "sample_input.json").read_text("utf-8").split())
    demo.say(f"\ninput/sample_input.json       {given[:90]}...")
    demo.say(f"output/sample_input_out.json  {output}")
    same = close(json.loads(output), expected)
    demo.say(
        f"the model's own prediction    {json.dumps(expected)}  {'(the same)' if same else '(DIFFERENT)'}"
    )
    demo.say(f"\nDone in {demo.elapsed_s:.1f} s; everything that was started is stopped and removed.")
    demo.say("Next: examples/diabetes/README.md, `fnpack build --help`, README.md")


def close(ours: list[float], own: list[float]) -> bool:
    """Whether two predictions are the same but for the last digits, which may differ between builds of numpy."""
    return len(ours) == len(own) and all(
        math.isclose(a, b, rel_tol=1e-12) for a, b in zip(ours, own, strict=True)
    )


def fnpack(arguments: list[str], cwd: Path, settings: dict[str, str] | None = None) -> str:
    """Run the command line and return its stdout."""
    return run([sys.executable, "-m", "fnpack", *arguments], cwd, settings)


def run(command: list[str], cwd: Path, settings: dict[str, str] | None = None) -> str:
    """Run a command; its failure ends the demo with what it said."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(settings or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        raise SystemExit(f"`{' '.join(command[-6:])}` ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def free_port() -> int:
    """A loopback port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
