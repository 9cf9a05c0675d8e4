"""What goes wrong between a build and its image: base image, registry, Ctrl-C. Real Engine, real registries."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fnpack.cli.exit_codes import ExitCode

PASSWORD = "battery-staple"


@pytest.fixture
def engine_settings(docker_engine, tmp_path: Path) -> dict[str, str]:
    """Settings with which the command finds the Engine again, and no login of this machine."""
    return {"DOCKER_HOST": os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")}


@pytest.fixture
def tag_at(docker_engine) -> Iterator[Callable[[str], str]]:
    """New names at a registry; their images are removed at the end."""
    made: list[str] = []

    def name(registry: str) -> str:
        made.append(f"{registry}/score:{uuid.uuid4().hex[:8]}")
        return made[-1]

    yield name
    for tag in made:
        for image in docker_engine.images.list(tag):
            docker_engine.images.remove(image.id, force=True)


def containers_on(engine, base: str) -> list[str]:
    """The containers, running or not, of an image that is built on `base`; other tests run theirs meanwhile."""
    return [container.id for container in engine.containers.list(all=True, filters={"ancestor": base})]


def refused(fnpack, settings, *arguments: str) -> str:
    """Run a build that fails with exit code 1 and an error of its own; returns what it said, in both forms."""
    before = fnpack.snapshot()
    arguments = ("--builder", "dockerfile", *arguments)
    ended = fnpack("build", *arguments, settings=settings, timeout_s=110)
    assert (ended.code, ended.stdout) == (ExitCode.FAILED, ""), ended.stderr
    as_json = fnpack("build", *arguments, "--json", settings=settings, timeout_s=110)
    assert as_json.code == ExitCode.FAILED
    assert f"Error {as_json.error['code']}: " in ended.stderr
    assert f"Hint: {as_json.error['hint']}" in ended.stderr
    assert "Traceback" not in ended.stderr + as_json.stderr
    assert PASSWORD not in ended.stderr + as_json.stdout + as_json.stderr
    assert fnpack.snapshot() == before
    return ended.stderr


def test_registry_where_nothing_listens_refuses_the_push(
    fnpack, engine_settings, debian_base, tag_at, free_port, docker_engine
) -> None:
    base = derived_base(docker_engine, debian_base, f"LABEL test={uuid.uuid4()}")
    registry = f"127.0.0.1:{free_port()}"
    tag = tag_at(registry)
    said = refused(fnpack, engine_settings, "--base-image", base, "--tag", tag, "--push")
    assert f"Error FN414: `{tag}` cannot be pushed: " in said
    assert "connection refused" in said
    assert f"Hint: Nothing answers at `{registry}`" in said
    assert f"The image is built and in the Engine: `docker push {tag}` tries again." in said
    assert docker_engine.images.list(tag)
    assert not containers_on(docker_engine, base)
    docker_engine.images.remove(base, force=True)


def test_registry_without_a_login_refuses_the_push(
    fnpack, engine_settings, debian_base, tag_at, locked_registry
) -> None:
    tag = tag_at(locked_registry)
    said = refused(fnpack, engine_settings, "--base-image", debian_base, "--tag", tag, "--push")
    assert "Error FN414: " in said
    assert f"No login was found for it: run docker login {locked_registry}" in said


def test_registry_of_the_base_image_refuses_a_wrong_login(fnpack, engine_settings, locked_registry) -> None:
    (fnpack.folder / "inferenceconfig.json").write_text(
        '{"entryScript": "score.py", "environment": {"docker": {"baseImage": "base:1", "baseImageRegistry": '
        f'{{"address": "{locked_registry}", "username": "robot", "password": "{PASSWORD}"}}}}}}}}'
    )
    said = refused(fnpack, engine_settings)
    assert "Error FN411: " in said
    assert f"{locked_registry}/base:1" in said


def test_base_image_that_is_nowhere(fnpack, engine_settings, registry) -> None:
    said = refused(fnpack, engine_settings, "--base-image", f"{registry}/no-such-base:1")
    assert "Error FN411: " in said


def test_base_image_with_another_python_than_asked_for(fnpack, engine_settings, debian_base) -> None:
    said = refused(fnpack, engine_settings, "--base-image", debian_base, "--python-version", "3.13")
    assert "Error FN415: " in said
    assert "but 3.13 is asked for" in said


def test_failing_step_shows_its_output_and_leaves_no_container(
    fnpack, engine_settings, debian_base, docker_engine, tmp_path
) -> None:
    base = derived_base(docker_engine, debian_base, "ONBUILD RUN echo no space for crocodiles && false")
    try:
        said = refused(fnpack, engine_settings, "--base-image", base)
        assert "Error FN413: image build failed at " in said
        assert "  | no space for crocodiles" in said
        assert not containers_on(docker_engine, base)
    finally:
        docker_engine.images.remove(base, force=True)


def test_ctrl_c_stops_the_engines_work_and_leaves_nothing(
    fnpack, engine_settings, debian_base, docker_engine, wait_until
) -> None:
    nap = f"{uuid.uuid4().int % 10**6 + 1000}.5"
    base = derived_base(docker_engine, debian_base, f"ONBUILD RUN sleep {nap}")
    before = fnpack.snapshot()

    def naps() -> list[Path]:
        return [folder for folder in Path("/proc").glob("[0-9]*") if is_nap(folder, nap)]

    try:
        build = fnpack.start(
            "build",
            "--builder",
            "dockerfile",
            "--base-image",
            base,
            "--tag",
            "fnpack-test/interrupted:1",
            settings=engine_settings,
        )
        wait_until(naps, timeout_s=60, what="the step to run")
        build.send_signal(signal.SIGINT)
        stdout, stderr = build.communicate(timeout=60)
        assert (build.returncode, stdout) == (ExitCode.INTERRUPTED, "")
        assert "Error FN003: interrupted" in stderr
        assert "Traceback" not in stderr
        wait_until(lambda: not naps(), timeout_s=30, what="the step to end")
        assert fnpack.snapshot() == before
        assert not containers_on(docker_engine, base)
        assert not docker_engine.images.list("fnpack-test/interrupted:1")
    finally:
        docker_engine.images.remove(base, force=True)


def test_failed_check_gives_no_tag_and_pushes_nothing(
    fnpack, engine_settings, debian_base, tag_at, registry, docker_engine
) -> None:
    tag = tag_at(registry)
    (fnpack.folder / "score.py").write_text("def init():\n    raise ValueError('no')\ndef run(d): pass\n")
    said = refused(fnpack, engine_settings, "--base-image", debian_base, "--tag", tag, "--push")
    assert "Error FN420: the app fails its check when init() runs: ValueError: no" in said
    assert "push " not in said
    assert not docker_engine.images.list(tag)


def test_sample_is_scored_in_a_container_before_the_push(
    fnpack, engine_settings, debian_base, tag_at, registry
) -> None:
    (fnpack.folder / "sample.txt").write_text("hello")
    options = ["--base-image", debian_base, "--tag", tag_at(registry), "--push", "--sample", "sample.txt"]
    ended = fnpack("build", "--builder", "dockerfile", *options, settings=engine_settings, timeout_s=110)
    assert ended.code == ExitCode.OK, ended.stderr
    assert "+ check in a container (" in ended.stderr
    assert "sample.txt -> hello" in ended.stderr


def is_nap(folder: Path, nap: str) -> bool:
    try:
        return (folder / "cmdline").read_bytes() == b"sleep\0" + nap.encode() + b"\0"
    except OSError:  # it has just ended
        return False


def derived_base(engine, base: str, line: str) -> str:
    """An image on `base` with one more line in its Dockerfile."""
    import io

    tag = f"fnpack-test/derived:{uuid.uuid4().hex[:8]}"
    engine.images.build(fileobj=io.BytesIO(f"FROM {base}\n{line}\n".encode()), tag=tag, rm=True)
    return tag
