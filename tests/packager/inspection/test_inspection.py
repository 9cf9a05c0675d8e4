"""Images of any origin are looked into without reading a layer, and what is none is told."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.packager.registry.test_tls import certified

from fault_proxy import FaultProxy
from fnpack.inspection.errors import NotAnImage
from fnpack.inspection.opened import open_image, pick
from fnpack.inspection.report import report_of
from fnpack.oci.artifacts import CYCLONEDX
from fnpack.oci.content import BytesContent
from fnpack.oci.errors import BaseSourceError
from fnpack.oci.image import Image, ImageSettings, build, index_of
from fnpack.oci.outputs import write_archive, write_layout, write_layout_archive
from fnpack.registry import Reference, Registries, RegistrySettings, push_image, push_index
from fnpack.registry.errors import ImageNotFound, PlatformMissing, RegistryUnauthorised, TlsFailed
from fnpack.registry.referrers import attach
from image_parts import image, layer, python_base, reference
from services import Registry

FUNCTIONS = [
    {
        "name": "score-blob",
        "trigger": "blob",
        "where": "in/{n} -> out/{n}",
        "settings": ["TriggerConnectionString"],
    }
]
MODELS = [{"name": "m", "version": "1", "sha256": "a" * 64, "size_bytes": 5, "files": 1, "file": "model.pkl"}]
LABELS = {
    "io.fnpack.version": "0.1.0", "io.fnpack.host": "fnpack", "io.fnpack.python": "3.11",
    "io.fnpack.entry-script": "score.py", "io.fnpack.entry-script.sha256": "e" * 64,
    "io.fnpack.functions": json.dumps(FUNCTIONS), "io.fnpack.models": json.dumps(MODELS),
    "org.opencontainers.image.base.name": "python:3.11-slim",
}  # fmt: skip
SBOM = {
    "components": [
        {"type": "library", "name": "uvicorn", "version": "1", "purl": "pkg:pypi/uvicorn@1",
         "properties": [{"name": "fnpack:part", "value": "host"}]},
        {"type": "library", "name": "numpy", "version": "2.2.6", "purl": "pkg:pypi/numpy@2.2.6"},
        {"type": "container", "name": "python"},
    ]
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FNPACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)


def ours(platform: str = "linux/amd64", labels: dict[str, str] | None = None) -> Image:
    """An image as fnpack makes them, with its SBOM."""
    base = python_base(platform)
    made = build(
        json.loads(base.config.data), base.layers, [layer(b"x" * 3000, "numpy 2.2.6"), layer(b"app", "app")],
        ImageSettings({}, LABELS if labels is None else labels), created="2023-11-14T22:13:20Z",
        annotations={"org.opencontainers.image.title": "score"},
    )  # fmt: skip
    return made._replace(sbom=BytesContent.of(json.dumps(SBOM).encode(), CYCLONEDX))


def push(target: Reference, *images: Image) -> Reference:
    with Registries(RegistrySettings.discover()) as registries:
        for one in images:
            place = target if len(images) == 1 else target.at(one.digest)
            push_image(
                place, manifest=one.manifest, config=one.config, layers=one.layers, registries=registries
            )
            if one.sbom is not None:
                attach(target, one.manifest.descriptor, one.sbom, CYCLONEDX, registries=registries)
        if len(images) > 1:
            push_index(target, index_of(images, {}), registries=registries)
    return target


def facts(name: str, platform: str | None = None) -> dict[str, Any]:
    return report_of(open_image(name, platform)).facts()


def check(found: dict[str, Any], made: Image) -> None:
    """What is told of `ours`, wherever it is."""
    assert found["functions"] == [{**FUNCTIONS[0], "settings": ("TriggerConnectionString",)}]
    assert found["models"] == [{key: value for key, value in MODELS[0].items() if key != "file"}]
    assert (found["fnpack_version"], found["host"], found["python_version"]) == ("0.1.0", "fnpack", "3.11")
    assert found["entry_script"] == {"path": "score.py", "sha256": "e" * 64}
    assert found["base_image"] == {"name": "python:3.11-slim", "digest": None}
    assert [one["base"] for one in found["layers"]] == [True, True, False, False]
    assert [one["title"] for one in found["layers"]] == ["base", "py", "numpy 2.2.6", "app"]
    assert found["id"] == made.image_id
    assert found["created"] == "2023-11-14T22:13:20Z"


def test_image_in_a_registry_is_told_without_asking_for_a_layer(registry: str) -> None:
    with FaultProxy(registry) as proxy:
        made = ours()
        target = push(reference(proxy.address), made)
        proxy.requests.clear()
        found = facts(str(target))
        check(found, made)
        assert found["kind"] == "registry"
        assert (found["digest"], found["index"], found["platforms"]) == (made.digest, None, ["linux/amd64"])
        assert found["size_bytes"] == sum(one.descriptor.size_bytes for one in made.layers)
        assert found["packages"] == [
            {"name": "numpy", "version": "2.2.6", "purl": "pkg:pypi/numpy@2.2.6", "part": "app"},
            {"name": "uvicorn", "version": "1", "purl": "pkg:pypi/uvicorn@1", "part": "host"},
        ]
        assert found["annotations"] == {
            "org.opencontainers.image.base.name": "python:3.11-slim", "org.opencontainers.image.title": "score",
        }  # fmt: skip
        assert made.sbom is not None
        blobs = {path.rpartition("/")[2] for method, path in proxy.requests if "/blobs/" in path}
        assert blobs == {made.image_id, made.sbom.descriptor.digest}
        assert len(proxy.requests) <= 7
        assert facts(f"{target.name}@{made.digest}")["digest"] == made.digest


def test_index_shows_this_machines_platform_or_the_one_asked_for(registry: str) -> None:
    images = [ours("linux/s390x"), ours("linux/amd64"), ours("linux/arm64")]
    target = str(push(reference(registry), *images))
    own = pick(["linux/s390x", "linux/amd64", "linux/arm64"], None)
    assert facts(target)["platform"] == own
    found = facts(target, "linux/s390x")
    assert (found["platform"], found["digest"]) == ("linux/s390x", images[0].digest)
    assert found["platforms"] == ["linux/amd64", "linux/arm64", "linux/s390x"]
    assert found["index"] not in (None, found["digest"])
    assert found["sbom"]
    with pytest.raises(PlatformMissing, match="it has linux/amd64, linux/arm64, linux/s390x"):
        facts(target, "linux/riscv64")
    assert pick(["linux/s390x"], None) == "linux/s390x"
    assert pick([], None) is None


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_layout_is_told_with_its_sbom(tmp_path: Path, form: str) -> None:
    made, path = ours(), tmp_path / ("image.tar" if form == "tar" else "image")
    write = write_layout_archive if form == "tar" else write_layout
    top = write([made], path, "name:1")
    for name in (f"oci-layout:{path}", f"oci-layout:{path}@{top.descriptor.digest}"):
        found = facts(name)
        check(found, made)
        assert (found["kind"], found["digest"]) == ("oci-layout", made.digest)
        assert [one["name"] for one in found["packages"]] == ["numpy", "uvicorn"]


def test_layout_of_several_platforms_has_an_sbom_for_each(tmp_path: Path) -> None:
    images = [ours(one) for one in ("linux/amd64", "linux/arm64")]
    documents = [
        BytesContent.of(json.dumps({"components": [], "n": n}).encode(), CYCLONEDX) for n in range(2)
    ]
    images = [one._replace(sbom=sbom) for one, sbom in zip(images, documents, strict=True)]
    top = write_layout(images, tmp_path / "image")
    for number, one in enumerate(images):
        opened = open_image(f"oci-layout:{tmp_path}/image", one.platform)
        assert (opened.digest, opened.index_digest) == (one.digest, top.descriptor.digest)
        assert opened.sbom is not None
        assert opened.sbom.document["n"] == number
    with pytest.raises(PlatformMissing):
        open_image(f"oci-layout:{tmp_path}/image", "linux/s390x")


def test_archive_is_told_without_an_sbom(tmp_path: Path) -> None:
    made = ours()
    write_archive(made, tmp_path / "image.tar", "name:1")
    found = facts(f"docker-archive:{tmp_path}/image.tar")
    check(found, made)
    assert (found["digest"], found["packages"], found["sbom"]) == (None, None, None)
    with pytest.raises(PlatformMissing):
        facts(f"docker-archive:{tmp_path}/image.tar", "linux/arm64")


def test_image_that_fnpack_did_not_make_shows_its_layers(registry: str) -> None:
    made = image(layer(b"1"), layer(b"22"))
    target = reference(registry)
    with Registries(RegistrySettings.discover()) as registries:
        push_image(target, **made.parts, registries=registries)
    report = report_of(open_image(str(target)))
    assert not report.is_ours
    assert [(one.size_bytes, one.is_base) for one in report.layers] == [(1, None), (2, None)]
    assert (report.functions, report.models, report.packages, report.base_name) == ((), (), None, "")


@pytest.mark.parametrize(
    "labels",
    [
        {"io.fnpack.version": "9", "io.fnpack.functions": "{", "io.fnpack.models": "[1, null, []]"},
        {"io.fnpack.functions": '[{"name": 1, "settings": 5}]', "io.fnpack.models": '[{"size_bytes": "x"}]'},
        {"io.fnpack.functions": "[[[[", "io.fnpack.models": '{"a": 1}'},
    ],
)
def test_labels_of_a_stranger_break_nothing(tmp_path: Path, labels: dict[str, str]) -> None:
    write_layout([ours(labels=labels)._replace(sbom=None)], tmp_path / "image")
    assert json.dumps(facts(f"oci-layout:{tmp_path}/image"))


def test_what_is_no_image_is_told(registry: str, tmp_path: Path) -> None:
    made = ours()
    target = push(reference(registry), made)
    write_layout([made], tmp_path / "image")
    sbom = json.loads((tmp_path / "image" / "index.json").read_text())["manifests"][1]["digest"]
    with pytest.raises(NotAnImage, match=r"artifact of type `application/vnd\.cyclonedx\+json`"):
        facts(f"oci-layout:{tmp_path}/image@{sbom}")
    with pytest.raises(NotAnImage, match=r"artifact of type `application/vnd\.cyclonedx\+json`"):
        facts(f"{target.name}@{facts(str(target))['sbom']}")
    with pytest.raises(ImageNotFound):
        facts(f"{target.name}:missing")
    for place in ("nowhere", "image/blobs", "image/oci-layout"):
        with pytest.raises(BaseSourceError, match="no OCI layout"):
            facts(f"oci-layout:{tmp_path}/{place}")
    with pytest.raises(BaseSourceError, match="no archive"):
        facts(f"docker-archive:{tmp_path}/nowhere.tar")


def test_layout_with_changed_blobs_is_refused(tmp_path: Path) -> None:
    made = ours()
    write_layout([made], tmp_path / "image")
    blob = tmp_path / "image" / "blobs" / made.image_id.replace(":", "/")
    blob.write_bytes(blob.read_bytes().replace(b"score.py", b"evil0.py"))
    with pytest.raises(BaseSourceError, match="another digest"):
        facts(f"oci-layout:{tmp_path}/image")


def test_layout_whose_index_leads_out_of_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"manifests": [{"digest": "sha256:../../index.json"}]}')
    with pytest.raises(BaseSourceError, match="no sha256 digest"):
        facts(f"oci-layout:{tmp_path}")


def test_private_registry_wants_a_login(locked_registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = reference(locked_registry)
    with pytest.raises(RegistryUnauthorised):
        facts(str(target))
    monkeypatch.setenv("FNPACK_REGISTRY_USERNAME", "robot")
    monkeypatch.setenv("FNPACK_REGISTRY_PASSWORD", "correct-horse")
    push_login = RegistrySettings.discover(target=target.registry)
    made = ours()
    with Registries(push_login) as registries:
        push_image(
            target, manifest=made.manifest, config=made.config, layers=made.layers, registries=registries
        )
    check(facts(str(target)), made)


def test_registry_with_a_certificate_that_nobody_vouches_for_is_read_where_it_is_allowed(
    registry_factory: Callable[..., Registry], tmp_path: Path
) -> None:
    _, chain, key = certified(tmp_path / "tls")
    made, target = ours(), reference(registry_factory(certificate=(chain, key)).address)
    allowed = RegistrySettings.discover(insecure=[target.registry])
    with Registries(allowed) as registries:
        push_image(
            target, manifest=made.manifest, config=made.config, layers=made.layers, registries=registries
        )
    with pytest.raises(TlsFailed):
        open_image(str(target))
    assert open_image(str(target), None, [target.registry]).digest == made.digest


def test_sbom_that_cannot_be_read_is_a_note_and_no_failure(registry: str, tmp_path: Path) -> None:
    made = ours()._replace(sbom=BytesContent.of(b"not json", CYCLONEDX))
    target = push(reference(registry), made)
    write_layout([made], tmp_path / "image")
    for name in (str(target), f"oci-layout:{tmp_path}/image"):
        opened = open_image(name)
        assert opened.sbom is None
        assert "the SBOM cannot be read" in opened.note


def test_docker_manifest_is_an_image_too(registry: str, skopeo: str, tmp_path: Path) -> None:
    made = ours()
    write_layout([made], tmp_path / "image", "name:1")
    target = reference(registry)
    copy = [skopeo, "copy", "--insecure-policy", "--dest-tls-verify=false", "--format", "v2s2"]
    subprocess.run(
        [*copy, f"oci:{tmp_path}/image:name:1", f"docker://{target}"], check=True, capture_output=True
    )
    found = facts(str(target))
    assert found["functions"]
    assert found["layers"][0]["media_type"].startswith("application/vnd.docker.")


def test_archive_that_skopeo_wrote_is_read(skopeo: str, tmp_path: Path) -> None:
    made = ours()
    write_layout([made], tmp_path / "image", "name:1")
    copy = [skopeo, "copy", "--insecure-policy", f"oci:{tmp_path}/image:name:1"]
    subprocess.run([*copy, f"docker-archive:{tmp_path}/docker.tar"], check=True, capture_output=True)
    assert facts(f"docker-archive:{tmp_path}/docker.tar")["functions"]
    subprocess.run([*copy, f"oci-archive:{tmp_path}/oci.tar"], check=True, capture_output=True)
    with tarfile.open(tmp_path / "oci.tar") as tar:
        assert any(name.endswith("index.json") for name in tar.getnames())
    assert facts(f"oci-layout:{tmp_path}/oci.tar")["functions"]
