"""Where an image comes from: SBOMs on every output that holds one, and `fnpack inspect` of all that a build prints."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.cli.conftest import SCRIPT, CommandLine, Ended

from fault_proxy import Fault, FaultProxy
from fnpack.cli.exit_codes import ExitCode
from fnpack.oci.artifacts import CYCLONEDX
from fnpack.registry import Reference, Registries, RegistrySettings, get_manifest, list_tags, push_image
from fnpack.registry.referrers import referrers
from image_parts import python_base, write_python_base

pytestmark = pytest.mark.timeout(240)
WEIGHTS = hashlib.sha256(b"weights").hexdigest()


@pytest.fixture
def build(fnpack: CommandLine, tmp_path: Path) -> Callable[..., Ended]:
    """Builds on a base that runs nowhere, with one package."""
    base = write_python_base(tmp_path / "base", "linux/amd64", "linux/arm64")
    (fnpack.folder / "requirements.txt").write_text("iniconfig==2.3.0\n")

    def run(*arguments: str, **settings: str) -> Ended:
        options = ["--model", "model.pkl", "--auth-level", "anonymous", "--base-image", base]
        if "--platform" not in arguments:
            options += ["--platform", "linux/amd64"]
        ended = fnpack("build", *options, *arguments, settings=settings, timeout_s=200)
        assert ended.code == ExitCode.OK, ended.stderr
        return ended

    return run


@pytest.fixture
def inspect(fnpack: CommandLine) -> Callable[..., dict[str, Any]]:
    """What `fnpack inspect --json` says."""

    def run(*arguments: str, **settings: str) -> dict[str, Any]:
        ended = fnpack("inspect", *arguments, "--json", settings=settings)
        assert ended.code == ExitCode.OK, ended.stderr
        facts: dict[str, Any] = json.loads(ended.stdout)
        assert facts.pop("schema_version") == 1
        return facts

    return run


@pytest.fixture
def proxy(registry: str) -> Iterator[FaultProxy]:
    with FaultProxy(registry) as running:
        yield running


def tag_in(registry: str) -> str:
    return f"{registry}/provenance-{uuid.uuid4().hex[:8]}/score:1"


def sbom_digests(printed: str) -> list[str]:
    """The digests of the SBOM documents that refer to a pushed image."""
    reference = Reference.parse(printed)
    assert reference.digest is not None
    with Registries(RegistrySettings.discover({})) as registries:
        found = referrers(reference, reference.digest, registries=registries, artifact_type=CYCLONEDX)
        manifests = [get_manifest(registries, reference.at(one.descriptor.digest)) for one in found]
    return [json.loads(one.data)["layers"][0]["digest"] for one in manifests]


def test_pushed_image_is_inspected_by_what_the_build_printed_and_no_layer_is_fetched(
    build, inspect, proxy
) -> None:
    printed = build("--tag", tag_in(proxy.address), "--push").stdout.strip()
    proxy.requests.clear()
    facts = inspect(printed)
    assert set(facts) == {
        "image", "kind", "digest", "index", "id", "platform", "platforms", "created", "size_bytes", "compressed",
        "base_image", "fnpack_version", "host", "python_version", "entry_script", "functions", "models", "layers",
        "packages", "sbom", "annotations",
    }  # fmt: skip
    assert facts["models"] == [
        {"name": "model", "version": "1", "sha256": WEIGHTS, "size_bytes": 7, "files": 1}
    ]
    assert facts["entry_script"] == {
        "path": "score.py",
        "sha256": hashlib.sha256(SCRIPT.encode()).hexdigest(),
    }
    assert facts["functions"] == [
        {"name": "score", "trigger": "http", "where": "GET, POST /api/score (no key)", "settings": []}
    ]
    assert facts["base_image"]["name"] == "oci-layout:base", "no path of this machine"
    assert {one["name"]: one["part"] for one in facts["packages"]}.items() >= {
        ("iniconfig", "app"),
        ("uvicorn", "host"),
    }
    blobs = {path.rpartition("/")[2] for _, path in proxy.requests if "/blobs/" in path}
    assert blobs == {facts["id"], *sbom_digests(printed)}
    assert not blobs & {one["digest"] for one in facts["layers"]}


def test_unchanged_image_sends_nothing_again_and_an_edited_script_no_new_sbom(fnpack, build, proxy) -> None:
    tag = tag_in(proxy.address)
    first = build("--tag", tag, "--push").stdout.strip()
    (document,) = sbom_digests(first)
    proxy.requests.clear()
    assert build("--tag", tag, "--push").stdout.strip() == first
    assert [method for method, _ in proxy.requests] == ["PUT"], "the tag's manifest alone"
    (fnpack.folder / "score.py").write_text(SCRIPT + "# edited\n")
    proxy.requests.clear()
    second = build("--tag", tag, "--push").stdout.strip()
    uploads = [path for method, path in proxy.requests if method == "PUT" and "/blobs/" in path]
    assert len(uploads) == 2, "the app's layer and the config"
    assert second != first
    assert sbom_digests(second) == [document]


def test_new_machine_is_told_of_the_base_by_the_image_before(fnpack, build, proxy, tmp_path) -> None:
    base, made = Reference.parse(f"{tag_in(proxy.address)}-base"), python_base("linux/amd64")
    with Registries(RegistrySettings.discover({})) as client:
        push_image(base, manifest=made.manifest, config=made.config, layers=made.layers, registries=client)
    options = ("--tag", tag_in(proxy.address), "--push", "--base-image", str(base))
    layers = {layer.descriptor.digest for layer in made.layers}

    def fetched() -> set[str]:
        return {path.rpartition("/")[2] for method, path in proxy.requests if method == "GET"} & layers

    first = build(*options).stdout
    assert fetched() == layers, "it had to be looked through"
    proxy.requests.clear()
    (fnpack.folder / "score.py").write_text(SCRIPT + "# edited\n")
    second = build(*options, FNPACK_CACHE=str(tmp_path / "another")).stdout
    assert fetched() == set()
    assert second != first
    assert build(*options).stdout == second, "the image is the same, however the base was known"


def test_registry_that_wants_the_image_before_its_sbom_gets_it_so(build, proxy) -> None:
    fault = proxy.add(Fault("PUT", r"/manifests/sha256:", status=404))
    printed = build("--tag", tag_in(proxy.address), "--push").stdout.strip()
    assert fault.seen == 2
    assert len(sbom_digests(printed)) == 1
    puts = [path for method, path in proxy.requests if method == "PUT" and "/manifests/" in path]
    assert len(puts) == 4, "the image, its SBOM twice, and the list"


def test_sbom_is_valid_and_the_same_without_any_cache(fnpack, build, registry, tmp_path) -> None:
    documents = set()
    for name in ("one", "two"):
        printed = build(
            "--tag", tag_in(registry), "--push", "--sbom", f"{name}.json", FNPACK_CACHE=str(tmp_path / name)
        ).stdout.strip()
        documents |= set(sbom_digests(printed))
        data = (fnpack.folder / f"{name}.json").read_bytes()
        documents.add(f"sha256:{hashlib.sha256(data).hexdigest()}")
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    assert len(documents) == 1
    components = json.loads(data)["components"]
    (model,) = (one for one in components if one["type"] == "machine-learning-model")
    assert model["hashes"] == [{"alg": "SHA-256", "content": WEIGHTS}]
    (package,) = (one for one in components if one["name"] == "iniconfig")
    assert package["purl"] == "pkg:pypi/iniconfig@2.3.0"
    assert len(package["hashes"][0]["content"]) == 64
    assert str(tmp_path) not in data.decode()


def test_registry_without_a_list_of_referrers_gets_the_fallback_tag(build, registry) -> None:
    tag = tag_in(registry)
    printed = build("--tag", tag, "--push").stdout.strip()
    with Registries(RegistrySettings.discover({})) as registries:
        tags = set(list_tags(registries, Reference.parse(tag)))
    assert tags == {"1", printed.rpartition("@")[2].replace(":", "-")}


def test_each_platform_has_its_sbom(build, inspect, registry, fnpack) -> None:
    both = ("--platform", "linux/amd64,linux/arm64")
    printed = build("--tag", tag_in(registry), "--push", "--sbom", "sbom.json", *both).stdout.strip()
    for platform in ("linux/amd64", "linux/arm64"):
        facts = inspect(printed, "--platform", platform)
        assert (facts["platform"], facts["index"]) == (platform, printed.rpartition("@")[2])
        assert facts["packages"]
        name = f"sbom-{platform.replace('/', '-')}.json"
        document = json.loads((fnpack.folder / name).read_text())
        assert {"name": "fnpack:platform", "value": platform} in document["metadata"]["component"][
            "properties"
        ]
    printed = build("--output", "oci-layout:both", "--sbom", "attach", *both).stdout.strip()
    assert inspect(printed, "--platform", "linux/arm64")["packages"]


@pytest.mark.parametrize(
    ("output", "has_sbom"),
    [
        (("oci-layout:image", "--sbom", "attach"), True),
        (("oci-layout:image.tar", "--sbom", "attach"), True),
        (("oci-layout:image",), False),
        (("docker-archive:archive.tar", "--sbom", "attach"), False),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_every_output_prints_is_inspected(build, inspect, output, has_sbom) -> None:
    printed = build("--output", *output).stdout.strip()
    facts = inspect(printed)
    assert facts["models"][0]["sha256"] == WEIGHTS
    assert (facts["packages"] is not None, facts["sbom"] is not None) == (has_sbom, has_sbom)
    assert facts["functions"][0]["name"] == "score"


def test_layout_holds_the_image_alone_unless_an_sbom_is_asked_for(fnpack, build, skopeo, tmp_path) -> None:
    tag = "registry.example.com/score:1"
    for options, name in (((), ""), (("--sbom", "attach"), f":{tag}")):
        build("--output", "oci-layout:image", "--tag", tag, *options)
        copy = [skopeo, "copy", "--insecure-policy", f"oci:{fnpack.folder}/image{name}"]
        subprocess.run([*copy, f"dir:{tmp_path}/copy"], check=True, capture_output=True)


def test_no_sbom_is_attached_or_written_where_none_is_wanted(fnpack, build, inspect, registry) -> None:
    printed = build("--tag", tag_in(registry), "--push", "--sbom", "none").stdout.strip()
    assert inspect(printed)["sbom"] is None
    assert sbom_digests(printed) == []
    said = fnpack("inspect", printed).stdout
    assert "packages\n  not known: no SBOM is attached\n" in said
    (fnpack.folder / "fnpack.toml").write_text('sbom = "out/sbom.json"\n')
    build("--output", "docker-archive:archive.tar")
    assert json.loads((fnpack.folder / "out" / "sbom.json").read_text())["bomFormat"] == "CycloneDX"


def test_image_in_the_engine_is_inspected_by_its_id_and_name(build, inspect, docker_engine) -> None:
    tag, host = f"fnpack-test/inspect:{uuid.uuid4().hex[:8]}", "unix:///var/run/docker.sock"
    printed = build("--output", "engine", "--tag", tag, DOCKER_HOST=host).stdout.strip()
    try:
        for name in (printed, tag):
            facts = inspect(name, DOCKER_HOST=host)
            assert (facts["kind"], facts["id"], facts["compressed"]) == ("engine", printed, False)
            assert facts["models"][0]["sha256"] == WEIGHTS
            assert facts["layers"][-1]["title"] == "app"
            assert [one["base"] for one in facts["layers"]][:3] == [True, True, False]
            assert facts["size_bytes"] > 1_000_000
    finally:
        docker_engine.images.remove(tag, force=True)


def test_text_for_people_is_aligned_and_on_stdout(fnpack, build) -> None:
    build(
        "--output",
        "oci-layout:image",
        "--sbom",
        "attach",
        "--trigger",
        "http",
        "--trigger",
        "blob",
        SOURCE_DATE_EPOCH="1700000000",
    )
    ended = fnpack("inspect", "oci-layout:image")
    assert (ended.code, ended.stderr) == (ExitCode.OK, "")
    lines = ended.stdout.splitlines()
    assert lines[0] == "oci-layout:image"
    for line in (
        "  platform    linux/amd64",
        "  created     2023-11-14T22:13:20Z",
        "  base        oci-layout:base",
        "  made by     fnpack 0.1.0, host fnpack, Python 3.11",
        "  script      score.py",
        "function score-blob",
        "  trigger     blob",
        "  where       input/{blobname}.json -> output/{blobname}_out.json",
        "  settings    TriggerConnectionString",
        "model model:1",
        "  size        7 B",
        f"  sha256      {WEIGHTS}",
        "layers",
        "packages of the app",
        "  iniconfig  2.3.0",
        "packages of the host",
    ):
        assert line in lines
    assert not [line for line in lines if line != line.rstrip()]
    (base,) = (line for line in lines if line.endswith("base image, 2 layers"))
    (app,) = (line for line in lines if line.endswith("  app"))
    assert base.index("base image") == app.rindex("app")
