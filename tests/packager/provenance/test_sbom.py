"""SBOMs: valid, the same for the same contents, and written only when something is new."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from fnpack.oci.artifacts import CYCLONEDX
from fnpack.oci.file_digests import HashedFile
from fnpack.provenance.contents import MODELS_LABEL, ImageContents, Package, model_contents, models_labels
from fnpack.provenance.long_labels import whole
from fnpack.provenance.sbom import sbom_of

ROOT = "home/site/wwwroot/azureml-models/net/2"
FOLDER = model_contents(
    "net:2",
    ROOT,
    [HashedFile(f"{ROOT}/net/b/c.bin", "c" * 64, 7), HashedFile(f"{ROOT}/net/a.json", "a" * 64, 5)],
)
FILE = model_contents("diabetes:1", "", [HashedFile("model.pkl", "d" * 64, 645)])
CONTENTS = ImageContents(
    "score",
    "linux/amd64",
    "3.11",
    "python:3.11-slim",
    f"sha256:{'b' * 64}",
    "docker.io/library/python",
    (
        Package("conda", "app", "openblas", "0.3.30", "", (("build", "h1_0"), ("channel", "conda-forge"))),
        Package("pypi", "app", "numpy", "2.2.6", "1" * 64),
        Package("pypi", "app", "urllib3", "2.6.0+local.1", "2" * 64),
        Package("pypi", "host", "urllib3", "2.6.0+local.1", "2" * 64),
    ),
    (FILE, FOLDER),
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FNPACK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def document(contents: ImageContents = CONTENTS) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sbom_of(contents).data)
    return found


@pytest.mark.parametrize(
    "contents",
    [CONTENTS, CONTENTS._replace(packages=(), models=(), base_repository="", created_s=1_700_000_000)],
    ids=["everything", "nothing"],
)
def test_document_is_valid_cyclonedx(contents: ImageContents) -> None:
    content = sbom_of(contents)
    assert content.descriptor.media_type == CYCLONEDX
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.data.decode()) is None


def test_document_tells_every_part_with_its_digest() -> None:
    found = {one["bom-ref"]: one for one in document()["components"]}
    assert found["app:pkg:pypi/numpy@2.2.6"]["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]
    assert found["app:pkg:pypi/numpy@2.2.6"]["purl"] == "pkg:pypi/numpy@2.2.6"
    conda = next(one for one in found.values() if one["name"] == "openblas")
    assert conda["purl"] == "pkg:conda/openblas@0.3.30?build=h1_0&channel=conda-forge"
    assert sum(one["name"] == "urllib3" for one in found.values()) == 2, "the app's and the host's"
    base = found["base"]
    assert (base["name"], base["version"], base["type"]) == (
        "python:3.11-slim",
        f"sha256:{'b' * 64}",
        "container",
    )
    assert base["purl"].startswith("pkg:oci/python@sha256")
    assert "repository_url=docker.io/library/python" in base["purl"].replace("%2F", "/")
    model = found["model:diabetes:1"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": "d" * 64}]
    folder = found["model:net:2"]
    assert {one["name"]: one["hashes"][0]["content"] for one in folder["components"]} == {
        "net/a.json": "a" * 64,
        "net/b/c.bin": "c" * 64,
    }
    tree = hashlib.sha256(f"{'a' * 64}  a.json\n{'c' * 64}  b/c.bin\n".encode()).hexdigest()
    assert {"name": "fnpack:tree-sha256", "value": tree} in folder["properties"]


def test_same_contents_give_the_same_bytes_without_any_cache(own_cache: Path) -> None:
    first = sbom_of(CONTENTS)
    for path in own_cache.rglob("*.json"):
        path.unlink()
    assert sbom_of(CONTENTS) == first
    other = document(CONTENTS._replace(python_version="3.12"))
    assert other["serialNumber"] != json.loads(first.data)["serialNumber"]
    assert document()["metadata"]["timestamp"].startswith("1970-01-01T00:00:00")
    dated = document(CONTENTS._replace(created_s=1_700_000_000))
    assert dated["metadata"]["timestamp"].startswith("2023-11-14T22:13:20")


def test_known_document_is_read_without_the_library() -> None:
    code = (
        "import sys\nfrom tests.packager.provenance.test_sbom import CONTENTS\n"
        "for name in [one for one in sys.modules if one.startswith('cyclonedx')]: del sys.modules[name]\n"
        "from fnpack.provenance.sbom import sbom_of\nprint(sbom_of(CONTENTS).descriptor.digest)\n"
        "print([one for one in sys.modules if one.startswith('cyclonedx')])"
    )
    expected = sbom_of(CONTENTS).descriptor.digest
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == [expected, "[]"]


def test_many_models_have_a_label_and_more() -> None:
    labels = models_labels([(FILE, [f"sha256:{number:064}"]) for number in range(40)])
    assert list(labels)[:2] == ["io.fnpack.models", "io.fnpack.models.2"]
    assert len(json.loads(whole(labels, MODELS_LABEL))) == 40


def test_label_of_models_has_the_digest_of_a_file_and_of_a_folders_listing() -> None:
    file, folder = json.loads(models_labels([(FILE, ["sha256:1"]), (FOLDER, ())])[MODELS_LABEL])
    assert file == {
        "name": "diabetes", "version": "1", "sha256": "d" * 64, "size_bytes": 645, "files": 1,
        "file": "model.pkl", "layers": ["sha256:1"],
    }  # fmt: skip
    assert (folder["sha256"], folder["size_bytes"], folder["files"]) == (FOLDER.sha256, 12, 2)
    assert "file" not in folder


def test_digest_of_a_folder_is_what_its_listing_piped_to_sha256sum_gives(tmp_path: Path) -> None:
    (tmp_path / "net" / "b").mkdir(parents=True)
    files = {"net/a.json": b"{}", "net/b/c.bin": b"weights", "net/B.txt": b"x"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    model = model_contents(
        "net:1", "", [HashedFile(name, hashlib.sha256(data).hexdigest(), 1) for name, data in files.items()]
    )
    shell = "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    done = subprocess.run(
        ["sh", "-c", shell], cwd=tmp_path / "net", capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == model.sha256
