"""The real Docker Engine: builds with secrets, cache, failures, base images."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnpack.engine import BaseImageUnavailable, BaseImageWithoutPython, Engine, ImageBuildFailed, session
from fnpack.progress import ProgressEvent

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]

SECRET = b"index-url = https://robot:correct-horse@pypi.example.test/simple"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine.connect() as connected:
        yield connected


@pytest.fixture
def tag(engine: Engine) -> Iterator[str]:
    """A tag of this test's own; its image goes when the test ends."""
    from docker.errors import ImageNotFound

    name = f"fnpack-test/engine:{uuid.uuid4().hex[:12]}"
    yield name
    with contextlib.suppress(ImageNotFound):
        engine.client.api.remove_image(name, force=True)


def write(folder: Path, dockerfile: str, **files: str) -> Path:
    (folder / "Dockerfile").write_text(dockerfile)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def run(engine: Engine, image: str, *command: str) -> str:
    output: bytes = engine.client.containers.run(image, list(command), remove=True, network_mode="none")
    return output.decode()


def saved(engine: Engine, image: str) -> Iterator[bytes]:
    """Every file of `docker save`, and every file of every layer in it."""
    whole = io.BytesIO(b"".join(engine.client.api.get_image(image)))
    with tarfile.open(fileobj=whole) as archive:
        for member in archive:
            if (file := archive.extractfile(member)) is None:
                continue
            content = file.read()
            yield content
            if not member.name.endswith(".json"):
                yield from layer(content)


def layer(content: bytes) -> Iterator[bytes]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as files:
            regular = (files.extractfile(member) for member in files if member.isreg())
            yield from (file.read() for file in regular if file)
    except tarfile.ReadError:
        return


def prints_sum_of_secret(base: str) -> str:
    # BuildKit leaves secrets out of its cache keys, so the step's text must differ from the last run's.
    return f"FROM {base}\nRUN --mount=type=secret,id=x sha256sum /run/secrets/x > /sum # {uuid.uuid4()}\n"


def test_a_step_sees_a_secret_that_is_in_no_layer_and_no_history(
    engine: Engine, debian_base: str, tag: str, tmp_path: Path
) -> None:
    image = engine.build(
        write(tmp_path, prints_sum_of_secret(debian_base)), tags=[tag], secrets={"x": SECRET}
    )
    assert run(engine, image, "cat", "/sum").startswith(hashlib.sha256(SECRET).hexdigest())
    assert b"correct-horse" not in json.dumps(engine.client.api.history(image)).encode()
    seen = 0
    for content in saved(engine, image):
        seen += 1
        assert b"correct-horse" not in content
    assert seen > 100


def test_a_large_secret_arrives_whole(engine: Engine, debian_base: str, tag: str, tmp_path: Path) -> None:
    secret = uuid.uuid4().bytes * 20_000
    image = engine.build(
        write(tmp_path, prints_sum_of_secret(debian_base)), tags=[tag], secrets={"x": secret}
    )
    assert run(engine, image, "cat", "/sum").startswith(hashlib.sha256(secret).hexdigest())


def test_a_second_build_is_cached_and_the_same_image(
    engine: Engine, debian_base: str, tag: str, tmp_path: Path
) -> None:
    context = write(
        tmp_path, f"FROM {debian_base}\nCOPY data /data\nRUN sha256sum /data > /sum\n", data=uuid.uuid4().hex
    )
    first: list[ProgressEvent] = []
    second: list[ProgressEvent] = []
    image = engine.build(context, tags=[tag], progress=first.append)
    (tmp_path / "data").touch()
    assert engine.build(context, tags=[tag], progress=second.append) == image
    assert {event.status for event in first if "RUN sha256sum" in event.step} == {"started", "done"}
    cached = {event.step for event in second if event.status == "cached"}
    assert {"[2/3] COPY data /data", "[3/3] RUN sha256sum /data > /sum"} <= cached


def test_a_failing_step_is_named_with_what_it_printed_and_without_secrets(
    engine: Engine, debian_base: str, tmp_path: Path
) -> None:
    script = (
        "RUN --mount=type=secret,id=x for n in $(seq 50); do echo out $n; done; cat /run/secrets/x; exit 3"
    )
    context = write(tmp_path, f"FROM {debian_base}\n{script}\n")
    events: list[ProgressEvent] = []
    with pytest.raises(ImageBuildFailed) as caught:
        engine.build(context, tags=["fnpack-test/never:1"], secrets={"x": SECRET}, progress=events.append)
    error = caught.value
    assert error.code == "FN413"
    assert error.step == f"[2/2] {script}"
    assert "exit code: 3" in str(error)
    assert error.output[-2:] == ("out 50", "***")
    assert len(error.output) == 20
    assert [
        event.status for event in events if event.step == error.step and not event.detail.startswith("out")
    ] == [
        "started",
        "failed",
    ]
    assert "correct-horse" not in repr((events, str(error), error.output))


def test_a_secret_that_was_not_given_fails_the_step_that_requires_it(
    engine: Engine, debian_base: str, tmp_path: Path
) -> None:
    context = write(tmp_path, f"FROM {debian_base}\nRUN --mount=type=secret,id=absent,required=true true\n")
    with pytest.raises(ImageBuildFailed, match="absent"):
        engine.build(context, tags=["fnpack-test/never:1"])


@pytest.mark.parametrize(
    ("dockerfile", "says"),
    [
        ("FROM nonsense:\n", "invalid reference format"),
        ("FORM x\n", "(?i)unknown instruction"),
        ("", "empty"),
    ],
)
def test_a_wrong_dockerfile_fails_with_the_engines_reason(
    engine: Engine, tmp_path: Path, dockerfile: str, says: str
) -> None:
    with pytest.raises(ImageBuildFailed, match=says):
        engine.build(write(tmp_path, dockerfile), tags=["fnpack-test/never:1"])


def test_an_invalid_tag_is_refused_before_anything_is_built(
    engine: Engine, debian_base: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageBuildFailed, match="invalid reference format"):
        engine.build(write(tmp_path, f"FROM {debian_base}\n"), tags=["Not A Tag"])


def test_every_tag_names_the_image(engine: Engine, debian_base: str, tag: str, tmp_path: Path) -> None:
    context = write(tmp_path, f"FROM {debian_base}\nRUN echo {uuid.uuid4()} > /id\n")
    other = f"{tag}-other"
    image = engine.build(context, tags=[tag, other])
    try:
        assert engine.client.api.inspect_image(other)["Id"] == image
        assert engine.client.api.inspect_image(tag)["Id"] == image
        assert engine.digest_reference(image, tag) == image
    finally:
        engine.client.api.remove_image(other)


def test_build_arguments_and_network_reach_the_steps(
    engine: Engine, debian_base: str, tag: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {debian_base}\nARG WORD\nRUN echo $WORD > /word; ls /sys/class/net > /links\n"
    )
    image = engine.build(tmp_path, tags=[tag], build_args={"WORD": uuid.uuid4().hex}, network="host")
    assert len(run(engine, image, "cat", "/word").strip()) == 32
    assert (
        "docker0" in run(engine, image, "cat", "/links").split()
    )  # which a network of its own would not have


def test_a_fifty_megabyte_file_streams_into_the_image(
    engine: Engine, debian_base: str, tag: str, tmp_path: Path
) -> None:
    size = 50 << 20
    write(tmp_path, f"FROM {debian_base}\nCOPY model.bin /model.bin\n")
    block = uuid.uuid4().bytes * 65536
    with (tmp_path / "model.bin").open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
    events: list[ProgressEvent] = []
    image = engine.build(tmp_path, tags=[tag], progress=events.append)
    assert run(engine, image, "stat", "-c", "%s %U %a", "/model.bin").split() == [str(size), "root", "644"]
    sent = [event.current_bytes or 0 for event in events if event.step == "send the build context"]
    assert len(sent) > 40
    assert sent[-1] > size


def test_an_interrupted_build_ends_its_session_and_leaves_the_engine_usable(
    engine: Engine, debian_base: str, tag: str, tmp_path: Path
) -> None:
    def interrupt(event: ProgressEvent) -> None:
        if "sleep" in event.step:
            raise KeyboardInterrupt

    write(tmp_path, f"FROM {debian_base}\nRUN sleep 600 # {uuid.uuid4()}\n")
    with pytest.raises(KeyboardInterrupt):
        engine.build(tmp_path, tags=[tag], progress=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name == "buildkit-session"]
    write(tmp_path, f"FROM {debian_base}\nRUN true # {uuid.uuid4()}\n")
    assert engine.build(tmp_path, tags=[tag]).startswith("sha256:")


def test_an_unknown_endpoint_of_a_build_session_is_survived(
    engine: Engine, debian_base: str, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer Engine asks for methods that this session does not know; even without a health check builds go on."""
    known = session.build_methods
    monkeypatch.setattr(
        "fnpack.engine.build.build_methods",
        lambda secrets, credentials: {session.GET_SECRET: known(secrets, credentials)[session.GET_SECRET]},
    )
    write(
        tmp_path,
        f"FROM {debian_base}\nRUN --mount=type=secret,id=x test -s /run/secrets/x # {uuid.uuid4()}\n",
    )
    assert engine.build(tmp_path, tags=[tag], secrets={"x": b"v"}).startswith("sha256:")


def test_a_base_image_tells_its_python_and_is_asked_once(
    engine: Engine, debian_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    base = engine.base_image(debian_base)
    asked = run(
        engine, debian_base, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"
    ).strip()
    assert (base.python_version, base.libc) == (asked, "glibc")
    assert base.platform.startswith("linux/")
    assert base.image_id == engine.client.api.inspect_image(debian_base)["Id"]
    cache = tmp_path / "fnpack" / "base-images.json"
    assert json.loads(cache.read_text()) == {base.image_id: {"version": asked, "libc": "glibc"}}
    monkeypatch.setattr("fnpack.engine.base_image._ask", None)
    assert engine.base_image(debian_base) == base


@pytest.mark.parametrize("content", ["", "[]", "{", '{"sha256:x": 1}'])
def test_a_spoilt_cache_is_rewritten(
    engine: Engine, debian_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "fnpack" / "base-images.json"
    cache.parent.mkdir()
    cache.write_text(content)
    base = engine.base_image(debian_base)
    assert base.image_id in json.loads(cache.read_text())


def test_a_missing_base_image_quotes_the_registry(engine: Engine, registry: str) -> None:
    with pytest.raises(BaseImageUnavailable, match=r"not on the Engine.*(?i:not found|unknown)") as caught:
        engine.base_image(f"{registry}/no/such:image")
    assert caught.value.code == "FN411"


def test_a_base_image_without_python_says_so_and_leaves_no_container(
    engine: Engine, tag: str, debian_base: str, tmp_path: Path
) -> None:
    engine.build(write(tmp_path, "FROM scratch\nCOPY data /data\n", data=uuid.uuid4().hex), tags=[tag])
    with pytest.raises(BaseImageWithoutPython, match="cannot run python3") as caught:
        engine.base_image(tag)
    assert caught.value.code == "FN412"
    image_id = engine.client.api.inspect_image(tag)["Id"]
    assert engine.client.containers.list(all=True, filters={"ancestor": image_id}) == []
