from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fault_proxy import Fault, FaultProxy
from fnpack.oci.content import MANIFEST, FileContent
from fnpack.registry import (
    Registries,
    RegistryBase,
    RegistrySettings,
    RemoteContent,
    get_manifest,
    push_image,
)
from fnpack.registry.errors import CacheUnwritable, ManifestInvalid, RegistryError
from image_parts import image, layer, reference

Settings = Callable[..., RegistrySettings]
MADE = image(layer(b"one" * 1000), layer(b"two"))


def test_a_base_is_read_once_and_its_tag_looked_at_each_time(proxy: FaultProxy, settings: Settings) -> None:
    target = reference(proxy.address)
    with Registries(settings()) as client:
        push_image(target, **MADE.parts, registries=client)
        for count in (1, 1):
            proxy.requests.clear()
            base = RegistryBase(target, client)
            assert base.config() == MADE.config
            assert base.manifest() == MADE.manifest
            assert proxy.methods()[:1] == ["HEAD"]
            assert len(proxy.requests) <= 1 + 2 * count
        assert proxy.methods() == ["HEAD"]
        push_image(target, **image(layer(b"new")).parts, registries=client)
        assert len(RegistryBase(target, client).layers()) == 1  # the tag moved


def test_a_layer_is_fetched_once_and_kept(proxy: FaultProxy, settings: Settings) -> None:
    target = reference(proxy.address)
    with Registries(settings()) as client:
        push_image(target, **MADE.parts, registries=client)
        base = RegistryBase(target, client)
        assert all(isinstance(one, RemoteContent) for one in base.layers())
        for _ in range(2):
            with base.open_layer(MADE.layers[0].descriptor) as file:
                assert file.read() == b"one" * 1000
        assert proxy.methods(MADE.layers[0].descriptor.digest).count("GET") == 1
        assert isinstance(base.layers()[0], FileContent)


def test_without_a_cache_everything_comes_from_the_registry(registry: str, settings: Settings) -> None:
    target = reference(registry)
    with Registries(settings(cache=None)) as client:
        push_image(target, **MADE.parts, registries=client)
        base = RegistryBase(target, client)
        assert base.config() == MADE.config
        with base.open_layer(MADE.layers[1].descriptor) as stream:
            assert stream.read() == b"two"


def test_a_broken_cache_is_made_anew(registry: str, settings: Settings) -> None:
    target, made = reference(registry), settings()
    assert made.cache is not None
    with Registries(made) as client:
        push_image(target, **MADE.parts, registries=client)
        RegistryBase(target, client).config()
        kept = [path for path in (made.cache / "blobs").rglob("*") if path.is_file()]
        assert len(kept) == 2
        for path in kept:
            path.write_bytes(b"x" * path.stat().st_size)
        assert RegistryBase(target, client).config() == MADE.config


def test_a_cache_that_cannot_be_written_costs_requests_not_builds(
    registry: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    target = reference(registry)
    with Registries(settings(cache=tmp_path / "file" / "cache")) as client:
        push_image(target, **MADE.parts, registries=client)
        base = RegistryBase(target, client)
        assert base.config() == MADE.config
        with pytest.raises(CacheUnwritable, match="cannot be kept") as caught:
            base.open_layer(MADE.layers[0].descriptor)
        assert caught.value.code == "FN472"
        assert "FNPACK_CACHE" in (caught.value.hint or "")


def test_a_full_disk_is_told_and_leaves_nothing(registry: str, settings: Settings, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    target, made = reference(registry), image(layer(bytes(4_000_000)))
    with Registries(settings()) as client:
        push_image(target, **made.parts, registries=client)
    # a process of its own, which may not write files of more than a MiB
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
from fnpack.registry import *
from fnpack.registry.errors import CacheUnwritable
with Registries(RegistrySettings.discover({{"HOME": "/nowhere", "FNPACK_CACHE": {str(tmp_path / "c")!r}}})) as client:
    base = RegistryBase(Reference.parse({str(target)!r}), client)
    try:
        base.open_layer(base.layers()[0].descriptor)
    except CacheUnwritable as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "a layer of 4000000 bytes cannot be kept" in done.stdout
    assert "too large" in done.stdout
    assert not list((tmp_path / "c").rglob(".part-*"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"schemaVersion": 1, "name": "x"}, "format of before 2016"),
        ({"schemaVersion": 2}, "is no image"),
        ([], "not a JSON object"),
        (
            {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config": {"digest": "sha256:1"}},
            "without type",
        ),
        ({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config": None}, "without type"),
    ],
)
def test_what_is_no_manifest_of_today_is_told(
    proxy: FaultProxy, settings: Settings, body: object, told: str
) -> None:
    proxy.add(Fault("HEAD", times=9, status=200))
    proxy.add(Fault("GET", "/manifests/", times=9, status=200, body=json.dumps(body).encode()))
    with Registries(settings(cache=None)) as client, pytest.raises(ManifestInvalid, match=told) as caught:
        RegistryBase(reference(proxy.address), client).config()
    assert caught.value.code == "FN475"


def test_a_registry_that_gives_whole_blobs_for_ranges_is_read_past(
    proxy: FaultProxy, settings: Settings
) -> None:
    target, made = reference(proxy.address), image(layer(bytes(range(256)) * 100))
    with Registries(settings()) as client:
        push_image(target, **made.parts, registries=client)
        base = RegistryBase(target, client)
        proxy.add(Fault("GET", "/blobs/", status=200, body=bytes(range(256)) * 100))
        assert base.layers()[0].open(25_000).read() == (bytes(range(256)) * 100)[25_000:]


def test_a_page_that_is_no_registry_is_quoted_without_its_markup(
    proxy: FaultProxy, settings: Settings
) -> None:
    proxy.add(Fault("GET", times=9, status=418, body=b"<html><script>"))
    with Registries(settings()) as client, pytest.raises(RegistryError, match="answered 418") as caught:
        get_manifest(client, reference(proxy.address))
    assert "<html>" not in str(caught.value)


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, fnpack.registry; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    heavy = {
        "http.client",
        "ssl",
        "email",
        "socketserver",
        "concurrent.futures",
        "asyncio",
        "logging",
        "subprocess",
    }
    assert not heavy & set(loaded)
    assert not [
        name for name in loaded if name.startswith(("docker", "requests", "urllib3", "azure", "click"))
    ]


def test_one_connection_serves_all_requests_of_a_thread(proxy: FaultProxy, settings: Settings) -> None:
    target = reference(proxy.address)
    with Registries(settings(workers=1)) as client:
        push_image(target, **MADE.parts, registries=client)
        base = RegistryBase(target, client)
        base.config()
        assert base.layers()[0].open().read() == b"one" * 1000
    assert len(proxy.requests) > 8
    assert proxy.connections == 1
