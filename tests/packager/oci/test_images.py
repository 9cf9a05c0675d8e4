"""Images: config and manifest, the places they go to, and the bases that they stand on."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from fnpack.oci.base_python import base_python, facts_of, remember
from fnpack.oci.bases import ArchiveBase, LayoutBase
from fnpack.oci.content import CONFIG, LAYER, LAYER_GZIP, BytesContent, Descriptor, Layer
from fnpack.oci.errors import BaseSourceError, OutputError
from fnpack.oci.image import ImageSettings, build, index_of
from fnpack.oci.outputs import write_archive, write_layout, write_layout_archive

BASE_CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["PATH=/bin", "LANG=C"], "Cmd": ["sh"], "Labels": {"a": "1"}},
    "history": [{"created_by": "base"}],
}
SETTINGS = ImageSettings(
    {"LANG": "C.UTF-8", "NEW": "1"}, {"b": "2"}, user="10001:10001", entrypoint=("python3", "-m", "x"),
    exposed_ports=("8080/tcp",),
)  # fmt: skip


def layer(files: dict[str, bytes], *, is_gzip: bool = False) -> Layer:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    data = gzip.compress(out.getvalue(), mtime=0) if is_gzip else out.getvalue()
    diff_id = f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"
    return Layer(BytesContent.of(data, LAYER_GZIP if is_gzip else LAYER), diff_id, "some files")


def image_of(*layers: Layer, base: Layer | None = None, platform: str = "amd64"):
    below = base or layer({"etc/os-release": b"ID=debian\n"}, is_gzip=True)
    config = {
        **BASE_CONFIG,
        "architecture": platform,
        "rootfs": {"type": "layers", "diff_ids": [below.diff_id]},
    }
    return build(config, [below], layers, SETTINGS, created="1970-01-01T00:00:00Z", annotations={"x": "y"})


def test_config_adds_to_the_bases() -> None:
    image = image_of(layer({"a": b"1"}))
    config = json.loads(image.config.data)
    run = config["config"]
    assert run["Env"] == ["PATH=/bin", "LANG=C.UTF-8", "NEW=1"]
    assert run["Labels"] == {"a": "1", "b": "2"}
    assert (run["Entrypoint"], run["User"], run["ExposedPorts"]) == (
        ["python3", "-m", "x"],
        "10001:10001",
        {"8080/tcp": {}},
    )
    assert "Cmd" not in run
    assert config["rootfs"]["diff_ids"] == [one.diff_id for one in image.layers]
    assert [one.get("comment") for one in config["history"]] == [None, "some files"]
    manifest = json.loads(image.manifest.data)
    assert manifest["config"]["digest"] == image.image_id
    assert [one["mediaType"] for one in manifest["layers"]] == [LAYER_GZIP, LAYER]


def test_base_without_a_search_path_gets_one() -> None:
    bare = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    image = build(bare, [], [], SETTINGS, created="1970-01-01T00:00:00Z", annotations={})
    path, *others = json.loads(image.config.data)["config"]["Env"]
    assert path == "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert others == ["LANG=C.UTF-8", "NEW=1"]


def test_base_layers_of_docker_get_the_names_of_oci() -> None:
    plain = layer({"a": b"1"}, is_gzip=True)
    found = plain.descriptor
    named = Descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", found.digest, found.size_bytes)
    docker = Layer(BytesContent(named, plain.content.open().read()), plain.diff_id)
    image = image_of(base=docker)
    assert json.loads(image.manifest.data)["layers"][0]["mediaType"] == LAYER_GZIP
    assert image.layers[0].content.open(3).read() == docker.content.open(3).read()


def test_index_names_each_platform() -> None:
    index = json.loads(index_of([image_of(), image_of(platform="arm64")], {}).data)
    assert [one["platform"] for one in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]


def test_layout_is_a_base_again_with_the_same_layers(tmp_path: Path) -> None:
    image = image_of(layer({"a": b"1"}), layer({"b": b"2"}, is_gzip=True))
    top = write_layout([image], tmp_path / "out", "name:1")
    base = LayoutBase(tmp_path / "out")
    assert top.descriptor.digest == image.digest
    assert base.config().data == image.config.data
    assert [one.descriptor.digest for one in base.layers()] == [one.descriptor.digest for one in image.layers]
    for one in image.layers:
        with base.open_layer(one.descriptor) as stream:
            assert stream.read() == one.content.open().read()
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "name:1"}


def test_layout_of_several_platforms(tmp_path: Path) -> None:
    images = [image_of(), image_of(platform="arm64")]
    write_layout(images, tmp_path / "out")
    for image in images:
        assert LayoutBase(tmp_path / "out", image.platform).config().data == image.config.data


def test_layout_archive_holds_the_layout(tmp_path: Path) -> None:
    image = image_of(layer({"a": b"1"}))
    write_layout_archive([image], tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as tar:
        tar.extractall(tmp_path / "out", filter="data")
    assert LayoutBase(tmp_path / "out").config().data == image.config.data
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out.tar"}


def test_docker_archive_is_a_base_again_with_the_same_diff_ids(tmp_path: Path) -> None:
    same = layer({"a": b"1"})
    image = image_of(same, same)
    write_archive(image, tmp_path / "out.tar", "name:1")
    base = ArchiveBase(tmp_path / "out.tar")
    assert base.config().data == image.config.data
    assert [one.descriptor.digest for one in base.layers()] == [one.diff_id for one in image.layers]
    assert base.layers()[1].open(10).read() == same.content.open(10).read()


@pytest.mark.parametrize(
    "content", [None, b"", b"{}", b'{"manifests": []}', b'{"manifests": [{"digest": "sha256:../x"}]}']
)
def test_what_is_no_layout_is_told(tmp_path: Path, content) -> None:
    if content is not None:
        (tmp_path / "index.json").write_bytes(content)
    with pytest.raises(BaseSourceError, match="no OCI layout"):
        LayoutBase(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a tar", bytes(2000)])
def test_what_is_no_archive_is_told(tmp_path: Path, content) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(BaseSourceError, match="no archive"):
        ArchiveBase(tmp_path / "a.tar")


def test_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_layout([image_of()], tmp_path / "file" / "out")
    with pytest.raises(OutputError, match="cannot be written"):
        write_archive(image_of(), tmp_path / "file" / "out.tar", "name:1")


class Source:
    def __init__(self, *layers: Layer) -> None:
        self._layers = layers
        self.opened = 0

    def config(self) -> BytesContent:
        return BytesContent.of(json.dumps([one.diff_id for one in self._layers]).encode(), CONFIG)

    def layers(self):
        return tuple(one.content for one in self._layers)

    def open_layer(self, descriptor: Descriptor):
        self.opened += 1
        return next(one for one in self._layers if one.descriptor.digest == descriptor.digest).content.open()


DEBIAN = {
    "./lib/x86_64-linux-gnu/libc.so.6": b"",
    "var/lib/dpkg/status": b"Package: libc6\nStatus: ok\nVersion: 2.36-9\n",
}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([DEBIAN, {"usr/bin/python3.11": b""}], ("3.11", "/usr/bin/python3.11", "glibc", 36)),
        ([DEBIAN, {"usr/bin/python3.11": b""}, {"./usr/local/bin/python3.12": b""}],
         ("3.12", "/usr/local/bin/python3.12", "glibc", 36)),
        ([DEBIAN, {"usr/bin/python3": b"", "usr/bin/python3.11-config": b""}], (None, None, "glibc", 36)),
        ([{"lib/ld-musl-x86_64.so.1": b"", "usr/local/bin/python3.13": b""}],
         ("3.13", "/usr/local/bin/python3.13", "musl", None)),
        ([{"lib64/libc-2.28.so": b"", "usr/bin/python3.10": b""}], ("3.10", "/usr/bin/python3.10", "glibc", 28)),
        ([{}], (None, None, None, None)),
    ],
)  # fmt: skip
def test_python_and_c_library_are_found_in_the_layers(tmp_path: Path, layers, expected) -> None:
    source = Source(*(layer(files, is_gzip=bool(number % 2)) for number, files in enumerate(layers)))
    found = base_python(source, tmp_path)
    assert (found.python_version, found.python, found.libc, found.glibc_minor) == expected
    opened = source.opened
    assert base_python(source, tmp_path) == found
    assert source.opened == opened, "the answer is kept"


def test_base_that_another_machine_looked_through_is_not_opened(tmp_path: Path) -> None:
    source = Source(layer({"usr/bin/python3.12": b"", "lib/libz.so.1": b""}))
    found, digest = base_python(source, None), source.config().descriptor.digest
    source.opened = 0
    remember(tmp_path, digest, json.loads(json.dumps(facts_of(found))))
    assert base_python(source, tmp_path) == found
    assert source.opened == 0


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1}, {"found": None}, {"found": {}}, {"found": {"python_version": 3}},
        {"found": {"libraries": "libz.so"}}, {"found": {"libraries": [1]}}, {"found": {"glibc_minor": "36"}},
        {"found": {"more": 1}},
    ],
)  # fmt: skip
def test_facts_that_are_not_understood_are_passed_over(tmp_path: Path, change) -> None:
    source = Source(layer({"usr/bin/python3.12": b""}))
    facts = json.loads(json.dumps(facts_of(base_python(source, None))))
    for key, value in change.items():
        facts[key] = facts[key] | value if isinstance(value, dict) and value else value
    remember(tmp_path, source.config().descriptor.digest, facts)
    remember(tmp_path, source.config().descriptor.digest, "facts")
    assert not (tmp_path / "base-python").exists()


def test_facts_get_out_of_no_folder(tmp_path: Path) -> None:
    facts = facts_of(base_python(Source(layer({})), None))
    for digest in ("sha256:../../x", "sha256:" + "A" * 64, "sha512:" + "a" * 64, ""):
        remember(tmp_path / "cache", digest, facts)
    assert list(tmp_path.iterdir()) == []


def test_base_layer_that_is_no_tar_is_told(tmp_path: Path) -> None:
    with pytest.raises(BaseSourceError, match="cannot be read"):
        base_python(Source(Layer(BytesContent.of(b"x" * 5000, LAYER), "sha256:0")), tmp_path)
