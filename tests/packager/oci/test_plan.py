from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fnpack.image.dockerfile import ImageSpec, dockerfile
from fnpack.oci.assemble import assemble
from fnpack.oci.base import Base
from fnpack.oci.cache import LayerCache
from fnpack.oci.config import source_date_epoch
from fnpack.oci.content import BytesContent, Layer
from fnpack.oci.errors import PlanInvalid
from fnpack.oci.files import FileEntry, FilesRecipe
from fnpack.oci.place import Place
from fnpack.oci.plan import ImagePlan, KnownLayers, clashes_note, index_of
from fnpack.oci.runtime import runtime
from fnpack.oci.wheels import wheel_recipes
from fnpack.progress import ProgressEvent
from layer_files import layer_bytes, write_wheel


def base(layers: int = 2, platform: str = "linux/amd64", **settings: object) -> Base:
    names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    contents = [BytesContent.of(b"layer %d" % number, "application/vnd.docker.image.rootfs.diff.tar.gzip")
                for number in range(layers)]  # fmt: skip
    diff_ids = [f"sha256:{number:064}" for number in range(layers)]
    config: dict[str, object] = {
        **names,
        "config": {"Env": ["PATH=/usr/bin", "LANG=C", "PYTHONPATH=/old"], "Cmd": ["python3"], **settings},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [
            {"created_by": "one"},
            {"created_by": "nothing", "empty_layer": True},
            {"created_by": "two"},
        ],
        "container": "noise",
    }
    found = tuple(Layer(content, diff_id) for content, diff_id in zip(contents, diff_ids, strict=True))
    return Base("base:1", "sha256:" + "f" * 64, config, found, lambda layer: layer.content.open())


def files(title: str = "app", path: str = "app/x", data: bytes = b"x") -> FilesRecipe:
    return FilesRecipe(title, (FileEntry(path, data=data),))


def plan(*recipes: FilesRecipe, on: Base | None = None, epoch_s: int = 0) -> ImagePlan:
    described = runtime("fnpack", {"io.fnpack.version": "1"})
    return ImagePlan(on or base(), recipes or (files(),), described, epoch_s=epoch_s)


def config(plan: ImagePlan, cache: LayerCache) -> dict[str, Any]:
    return json.loads(assemble(plan, cache).config.data)


def test_the_config_is_the_bases_with_what_the_host_needs(cache: LayerCache) -> None:
    found = config(plan(on=base(Labels={"of": "base"}, ExposedPorts={"80/tcp": {}}, User="root")), cache)
    settings = found["config"]
    assert "container" not in found
    assert settings["Env"] == [
        "PATH=/usr/bin", "LANG=C", "PYTHONPATH=/opt/fnpack", "AzureWebJobsScriptRoot=/home/site/wwwroot",
        "FNPACK_PORT=8080", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1",
    ]  # fmt: skip
    assert settings["Labels"] == {"of": "base", "io.fnpack.version": "1"}
    assert settings["ExposedPorts"] == {"80/tcp": {}, "8080/tcp": {}}
    assert settings["User"] == "10001:10001"
    assert "Cmd" not in settings  # it would become arguments
    assert [entry.get("created_by") for entry in found["history"]] == ["one", "nothing", "two", "fnpack"]


@pytest.mark.parametrize("host", ["fnpack", "azure-functions"])
def test_every_instruction_of_the_dockerfile_is_in_the_config(host: str) -> None:
    """So that both builders make images that run alike; packages of Azure's are in another place, on purpose."""
    text = dockerfile(ImageSpec(host, "base:1", "3.11", labels={"a": "b"}))  # type: ignore[arg-type]
    final = text.rpartition("\nFROM ")[2].replace("\\\n", " ")
    found = runtime(host, {})  # type: ignore[arg-type]
    known = {**found.variables}
    for line in final.splitlines():
        name, _, rest = line.partition(" ")
        match name:
            case "ENV":
                for word in rest.split():
                    key, _, value = word.partition("=")
                    assert known.pop(key) == value
            case "USER":
                assert found.settings["User"] == rest
            case "WORKDIR":
                assert found.settings["WorkingDir"] == rest
            case "EXPOSE":
                assert found.ports == (f"{rest}/tcp",)
            case "STOPSIGNAL":
                assert found.settings["StopSignal"] == rest
            case "ENTRYPOINT":
                assert found.settings["Entrypoint"] == json.loads(rest)
            case "HEALTHCHECK":
                check = found.settings["Healthcheck"]
                assert isinstance(check, dict)
                assert check["Test"] == ["CMD", *json.loads(rest.partition("CMD ")[2])]
                seconds = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start-period"}
                for key, option in seconds.items():
                    assert f"--{option}={check[key] // 10**9}s" in rest
                assert f"--retries={check['Retries']}" in rest
    assert set(known) == ({"PYTHONPATH"} if host == "azure-functions" else set())


def test_a_history_that_does_not_fit_is_replaced(cache: LayerCache) -> None:
    found = config(plan(on=base(layers=3)), cache)
    assert [entry["comment"] for entry in found["history"]] == ["base image"] * 3 + ["app"]


def test_only_the_config_knows_the_time(cache: LayerCache) -> None:
    first, second = (assemble(plan(epoch_s=epoch_s), cache) for epoch_s in (0, 1_700_000_000))
    assert first.layers == second.layers
    assert json.loads(first.config.data)["created"] == "1970-01-01T00:00:00Z"
    assert json.loads(second.config.data)["created"] == "2023-11-14T22:13:20Z"
    assert source_date_epoch({"SOURCE_DATE_EPOCH": "1700000000"}) == 1_700_000_000
    assert source_date_epoch({}) == 0


@pytest.mark.parametrize("text", ["yesterday", "-1", "1.5", "9" * 40, "²"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PlanInvalid, match="SOURCE_DATE_EPOCH"):
        source_date_epoch({"SOURCE_DATE_EPOCH": text})


def test_the_manifest_names_all_layers_with_types_of_one_family(cache: LayerCache) -> None:
    image = assemble(plan(), cache)
    manifest = json.loads(image.manifest.data)
    kinds = [layer["mediaType"] for layer in manifest["layers"]]
    assert kinds == ["application/vnd.oci.image.layer.v1.tar+gzip"] * 2 + [
        "application/vnd.oci.image.layer.v1.tar"
    ]
    assert manifest["config"]["digest"] == image.image_id
    assert json.loads(image.config.data)["rootfs"]["diff_ids"] == [layer.diff_id for layer in image.layers]
    assert [layer.title for layer in image.own_layers] == ["app"]


def test_an_image_of_too_many_layers_is_refused() -> None:
    with pytest.raises(PlanInvalid, match="128 layers"):
        plan(on=base(layers=127))


def test_one_path_in_two_layers_is_refused() -> None:
    with pytest.raises(PlanInvalid, match=r"`/app/x` is in two layers: app and again"):
        plan(files(), files("again"))


def test_an_index_lists_each_platform_once(cache: LayerCache) -> None:
    images = [assemble(plan(on=base(platform=one)), cache) for one in ("linux/amd64", "linux/arm64/v8")]
    index = json.loads(index_of(images).data)
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
    ]
    with pytest.raises(PlanInvalid, match="one platform"):
        index_of([images[0], images[0]])


def test_a_fresh_machine_knows_layers_from_the_earlier_image(tmp_path: Path, cache: LayerCache) -> None:
    wheel = write_wheel(tmp_path)
    recipes, clashes = wheel_recipes([wheel], Place("/app"), cache, compiler=None)
    described = ImagePlan(base(), recipes, runtime("fnpack", {}), clashes_note(clashes))
    first = assemble(described, cache)
    data = wheel.path.read_bytes()
    wheel.path.unlink()

    known = KnownLayers.of(first.manifest.data)
    fresh = LayerCache(tmp_path / "fresh")
    sizes = {wheel.sha256: len(data)}
    again, _ = wheel_recipes(
        [wheel], Place("/app"), fresh, compiler=None, sizes=sizes, known_clashes=known.clashes
    )
    events: list[ProgressEvent] = []
    second = assemble(replace(described, recipes=again), fresh, known=known, progress=events.append)
    assert second.manifest == first.manifest
    assert [event.status for event in events] == ["cached"]
    wheel.path.write_bytes(data)  # the registry lacks it after all
    assert layer_bytes(second.own_layers[0]) == layer_bytes(first.own_layers[0])


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"layers": 7}', b'{"layers": [{"annotations": []}]}', b"\xff"]
)
def test_an_earlier_manifest_that_says_nothing_is_no_fault(data: bytes) -> None:
    assert KnownLayers.of(data) == KnownLayers()


def test_progress_tells_what_was_made_and_what_was_known(tmp_path: Path, cache: LayerCache) -> None:
    recipes, _ = wheel_recipes([write_wheel(tmp_path)], Place("/app"), cache, compiler=None)
    described = ImagePlan(base(), (*recipes, files()), runtime("fnpack", {}))
    seen: list[tuple[str, str]] = []
    for _ in range(2):
        assemble(described, cache, progress=lambda event: seen.append((event.step, event.status)))
    assert seen == [
        ("layer app", "cached"), ("layer demo 1.0", "started"), ("layer demo 1.0", "done"),
        ("layer demo 1.0", "cached"), ("layer app", "cached"),
    ]  # fmt: skip


def test_a_layer_that_cannot_be_made_is_told_and_raised(tmp_path: Path, cache: LayerCache) -> None:
    wheel = write_wheel(tmp_path)
    recipes, _ = wheel_recipes([wheel], Place("/app"), cache, compiler=None)
    wheel.path.write_bytes(b"broken")
    events: list[ProgressEvent] = []
    with pytest.raises(Exception, match="cannot be read as a zip file"):
        assemble(ImagePlan(base(), recipes, runtime("fnpack", {})), cache, progress=events.append)
    assert [event.status for event in events] == ["started", "failed"]
