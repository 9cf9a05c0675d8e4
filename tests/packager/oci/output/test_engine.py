from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fnpack.app.directory import write_app
from fnpack.oci.app import app_labels, app_recipe, model_recipes
from fnpack.oci.assemble import assemble
from fnpack.oci.base import Base
from fnpack.oci.base.files import file_base
from fnpack.oci.base.python import find_python
from fnpack.oci.cache import LayerCache
from fnpack.oci.errors import EngineRefused
from fnpack.oci.host import PLACE, HostRecipe
from fnpack.oci.local_engine import LocalEngine, complaint, engine_archive
from fnpack.oci.output.archive import write_archive
from fnpack.oci.output.engine import ImageEngine, SdkEngine, keeps_blobs, load
from fnpack.oci.output.layout import write_layout
from fnpack.oci.place import Place
from fnpack.oci.plan import Image, ImagePlan
from fnpack.oci.pythons import find_interpreter
from fnpack.oci.recipe import Recipe
from fnpack.oci.runtime import SITE_PACKAGES, Runtime, runtime
from fnpack.oci.wheels import wheel_recipes
from fnpack.progress import ProgressEvent
from fnpack.spec import AppSpec, Environment, HttpTrigger, ModelSource
from layer_files import wheel_file, write_wheel

if TYPE_CHECKING:
    from docker import DockerClient

SCRIPT = """
import os, demo
def init():
    pass
def run(data):
    return {"model": open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.bin")).read(), "demo": demo.NAME,
            "compiled": demo.__spec__.cached, "uid": os.getuid(), "edition": 1}
"""


@pytest.fixture
def here(docker_engine: DockerClient) -> LocalEngine:
    """The Engine at its socket."""
    found = LocalEngine.connect()
    assert found is not None
    return found


@pytest.fixture
def tag(docker_engine: DockerClient) -> Iterator[str]:
    name = f"fnpack-test/layers:{uuid.uuid4().hex[:12]}"
    yield name
    for image in docker_engine.images.list(name.partition(":")[0]):
        if name in image.tags:
            docker_engine.images.remove(name, force=True)


@pytest.fixture(scope="module")
def host_wheels(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Path]]:
    def fetch(python: str) -> list[Path]:
        folder = tmp_path_factory.mktemp("host-wheels")
        lock = Path(__file__).parents[4] / "templates" / "fnpack_templates" / "image" / "host-http.txt"
        platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 17, 5)]
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            *platforms,
        ]
        subprocess.run(
            [*command, f"--python-version={python}", "--require-hashes", "-r", lock, "-d", folder],
            check=True,
            capture_output=True,
        )
        return sorted(folder.glob("*.whl"))

    return fetch


def small_image(base: Base, cache: LayerCache, tmp_path: Path, version: str = "1.0") -> Image:
    wheels, _ = wheel_recipes([write_wheel(tmp_path, version=version)], Place("/app"), cache, compiler=None)
    return assemble(ImagePlan(base, wheels, Runtime({"A": "1"}, {"Entrypoint": ["cat"]})), cache)


def layers_in(engine: DockerClient, tag: str) -> list[str]:
    return list(engine.images.get(tag).attrs["RootFS"]["Layers"])


def test_a_function_app_runs_as_nobody_on_a_read_only_disk(
    docker_engine: DockerClient,
    here: LocalEngine,
    debian_base: str,
    host_wheels: Callable[[str], list[Path]],
    cache: LayerCache,
    tmp_path: Path,
    tag: str,
    wait_until: Callable[..., object],
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "score.py").write_text(SCRIPT)
    (project / "model.bin").write_text("weights")
    models = (ModelSource("m", project / "model.bin"),)
    spec = AppSpec(project / "score.py", None, models, (HttpTrigger("anonymous"),), Environment())
    saved = engine_archive(debian_base, cache.folder / "bases", lambda event: None)
    assert saved is not None
    base = file_base(saved, name=debian_base)
    python = find_python(base, cache)
    assert python.version is not None
    compiler = find_interpreter(python.version, cache)
    own, _ = wheel_recipes(
        [wheel_file(one) for one in host_wheels(python.version)], PLACE, cache, compiler=compiler
    )
    demo = write_wheel(tmp_path, files={"demo/__init__.py": b"NAME = __name__\n"})
    packages, _ = wheel_recipes([demo], Place(SITE_PACKAGES, python.program), cache, compiler=compiler)

    def build() -> Image:
        app = write_app(spec, tmp_path / "app", lock_text="").path
        recipes: tuple[Recipe, ...] = (
            *own,
            HostRecipe.installed(compiler),
            *packages,
            *model_recipes(models),
            app_recipe(app),
        )
        described = runtime("fnpack", app_labels(app, base.name, models, cache))
        return assemble(ImagePlan(base, recipes, described), cache)

    image = build()
    assert load(here, image, tag, related=[debian_base]) == image.image_id
    assert layers_in(docker_engine, tag) == [layer.diff_id for layer in image.layers]
    answer = call(docker_engine, tag, wait_until)
    assert (answer["model"], answer["demo"], answer["uid"], answer["edition"]) == (
        "weights",
        "demo",
        10001,
        1,
    )
    assert compiler is None or str(answer["compiled"]).endswith(".pyc")

    (project / "score.py").write_text(SCRIPT.replace('"edition": 1', '"edition": 2'))
    events: list[ProgressEvent] = []
    edited = build()
    assert load(here, edited, tag, progress=events.append) == edited.image_id
    assert events[-1].detail == f"1 of {len(edited.layers)} layers sent"
    assert call(docker_engine, tag, wait_until)["edition"] == 2


def call(engine: DockerClient, tag: str, wait_until: Callable[..., object]) -> dict[str, object]:
    """What a container of the image answers, once it is healthy."""
    run: Callable[..., Any] = engine.containers.run
    container = run(
        tag,
        detach=True,
        read_only=True,
        tmpfs={"/tmp": ""},
        ports={"8080/tcp": ("127.0.0.1", None)},
        cap_drop=["ALL"],
    )
    try:

        def answer() -> dict[str, object] | None:
            container.reload()
            assert container.status in ("created", "running"), container.logs().decode()
            ports = container.ports.get("8080/tcp")
            if not ports:
                return None
            try:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{ports[0]['HostPort']}/api/score", b"{}"
                ) as response:
                    return json.load(response)
            except OSError:
                return None

        found = wait_until(answer, timeout_s=60, what="the container answers")
        assert isinstance(found, dict)
        return found
    finally:
        container.remove(force=True)


def test_every_output_gives_the_engine_the_same_layers(
    docker_engine: DockerClient,
    here: LocalEngine,
    tiny_base: Base,
    cache: LayerCache,
    tmp_path: Path,
    tag: str,
) -> None:
    image = small_image(tiny_base, cache, tmp_path)
    diff_ids = [layer.diff_id for layer in image.layers]
    engines: tuple[ImageEngine, ...] = (here, SdkEngine(docker_engine.api))
    for engine in engines:
        for _ in range(2):  # the second time, the Engine has all of it
            assert load(engine, image, tag) == image.image_id
            assert layers_in(docker_engine, tag) == diff_ids
        docker_engine.images.remove(tag, force=True)
    write_archive([image], tmp_path / "image.tar", tag=tag, for_docker=True)
    with (tmp_path / "image.tar").open("rb") as file:
        (loaded,) = docker_engine.images.load(file)
    assert (loaded.id, loaded.tags) == (image.image_id, [tag])
    assert layers_in(docker_engine, tag) == diff_ids
    write_layout([image], tmp_path / "layout", tag=tag)
    config = tmp_path / "layout" / "blobs" / "sha256" / image.image_id.removeprefix("sha256:")
    assert json.loads(config.read_text())["rootfs"]["diff_ids"] == diff_ids


def test_layers_that_went_away_meanwhile_are_sent_after_all(
    docker_engine: DockerClient, here: LocalEngine, tiny_base: Base, cache: LayerCache, tmp_path: Path, tag: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    image = small_image(tiny_base, cache, tmp_path, uuid.uuid4().hex[:8])  # that the Engine has never seen
    monkeypatch.setattr(
        "fnpack.oci.output.engine._layers_of", lambda *_: [[layer.diff_id for layer in image.layers]]
    )
    events: list[ProgressEvent] = []
    assert load(here, image, tag, progress=events.append) == image.image_id
    assert events[-1].detail == "2 of 2 layers sent"


def test_an_image_that_the_engine_does_not_take_is_an_error(
    docker_engine: DockerClient, here: LocalEngine, tiny_base: Base, cache: LayerCache, tmp_path: Path
) -> None:
    image = small_image(tiny_base, cache, tmp_path)
    engines: tuple[ImageEngine, ...] = (here, SdkEngine(docker_engine.api))
    for engine in engines:
        with pytest.raises(EngineRefused, match="did not take the image: .*invalid reference") as caught:
            load(engine, image, "NOT A TAG")
        assert "docker-archive" in str(caught.value.hint)


def test_no_engine_at_the_socket_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for host in (f"unix://{tmp_path}/gone.sock", "tcp://127.0.0.1:1", "ssh://somewhere"):
        monkeypatch.setenv("DOCKER_HOST", host)
        assert LocalEngine.connect() is None
        assert engine_archive("base:1", tmp_path, lambda event: None) is None


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b'{"stream": "Loaded image: a"}\n', None),
        (
            200,
            b'{"stream": "x"}\n{"errorDetail": {"message": "y"}, "error": "no space left"}\n',
            "no space left",
        ),
        (500, b'{"message": "invalid reference"}\n', "invalid reference"),
        (502, b"<html>", "status 502"),
    ],
)
def test_complaints_of_the_engine_are_read(status: int, body: bytes, said: str | None) -> None:
    assert complaint(status, body) == said


def test_a_base_in_the_engine_is_saved_once(
    docker_engine: DockerClient,
    here: LocalEngine,
    tiny_base: Base,
    cache: LayerCache,
    tmp_path: Path,
    tag: str,
) -> None:
    image = small_image(tiny_base, cache, tmp_path)
    load(here, image, tag)
    steps: list[str] = []
    for _ in range(2):
        saved = engine_archive(tag, tmp_path / "saved", lambda event: steps.append(event.status))
        assert saved is not None
    assert steps == ["started", "done"]
    assert saved is not None
    base = file_base(saved)
    assert base.diff_ids == tuple(layer.diff_id for layer in image.layers)
    assert base.config["config"]["Entrypoint"] == ["cat"]  # type: ignore[index]
    write_layout(
        [small_image(base, cache, tmp_path, "2.0")], tmp_path / "layout", tag="demo:1"
    )  # verifies all bytes
    assert engine_archive("fnpack-test/gone:1", tmp_path, lambda event: None) is None
    assert engine_archive(f"localhost/{tag}", tmp_path, lambda event: None) is None


class Info:
    """An Engine's description of itself, as far as it matters."""

    def __init__(self, status: object) -> None:
        self._status = status

    def info(self) -> dict[str, object]:
        return {"DriverStatus": self._status}


def test_an_engine_with_containerds_store_is_told_apart() -> None:
    containerd = [["driver-type", "io.containerd.snapshotter.v1"]]
    assert keeps_blobs(Info(containerd))  # type: ignore[arg-type]
    assert not keeps_blobs(Info([["Backing Filesystem", "extfs"]]))  # type: ignore[arg-type]
    assert not keeps_blobs(Info(None))  # type: ignore[arg-type]
