"""Uploads through a proxy that does what networks do: broken connections, refusals, slow and failing registries."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import pytest

from fault_proxy import Fault, FaultProxy
from fnpack.oci.content import LAYER, Descriptor, FileContent, Layer
from fnpack.registry import Registries, RegistryBase, RegistrySettings, get_manifest, push_image
from fnpack.registry.errors import (
    ContentChanged,
    DigestMismatch,
    RateLimited,
    RegistryError,
    RegistryUnreachable,
    TooLarge,
    TransferBroken,
)
from image_parts import Image, image, layer, reference

Settings = Callable[..., RegistrySettings]
DATA = bytes(range(256)) * 4096  # a MiB, and no two chunks begin alike
CHUNKS = {"chunk_threshold_bytes": 300_000, "chunk_bytes": 200_000, "small_chunk_bytes": 50_000}


@dataclass
class Push:
    """An image of one layer, pushed through a proxy."""

    proxy: FaultProxy
    made: Image
    settings: RegistrySettings

    @property
    def commit(self) -> str:
        """What the request that ends the layer's upload has in its address, and no other has."""
        return self.made.layers[0].descriptor.digest.removeprefix("sha256:")

    def run(self) -> int:
        target = reference(self.proxy.address)
        with Registries(self.settings) as client:
            result = push_image(target, **self.made.parts, registries=client)
            base = RegistryBase(target, client)
            assert base.layers()[0].open().read() == self.made.layers[0].content.open().read()
        return result.sent_bytes


@pytest.fixture
def push(proxy: FaultProxy, settings: Settings) -> Callable[..., Push]:
    def make(data: bytes = DATA, **changes: object) -> Push:
        return Push(proxy, image(layer(data)), settings(cache=None, **changes))

    return make


def test_a_large_blob_goes_in_chunks_and_a_small_one_whole(push: Callable[..., Push]) -> None:
    large = push(**CHUNKS)
    large.run()
    assert large.proxy.methods().count("PATCH") == 6
    large.proxy.requests.clear()
    push(DATA[:300_000], **CHUNKS).run()
    assert "PATCH" not in large.proxy.methods()


@pytest.mark.parametrize("cut", [0, 1000, 65_536, 150_000])
@pytest.mark.parametrize("skip", [0, 3])
def test_a_chunk_that_breaks_off_goes_on_where_it_was(push: Callable[..., Push], cut: int, skip: int) -> None:
    one = push(**CHUNKS)
    one.proxy.add(Fault("PATCH", skip=skip, cut=cut, is_kept=True))
    sent = one.run()
    assert "GET" in one.proxy.methods("/uploads/")
    assert one.proxy.methods().count("POST") == 2  # one for the config
    # every byte arrived once, and of what was on its way when the connection broke off, little went twice
    once = len(DATA) + one.made.config.descriptor.size_bytes + one.made.manifest.descriptor.size_bytes
    assert one.proxy.sent_bytes == once
    assert sent <= one.proxy.sent_bytes + 200_000


@pytest.mark.parametrize("cut", [0, 1, 150_000])
def test_a_registry_that_cannot_go_on_gets_the_blob_anew(push: Callable[..., Push], cut: int) -> None:
    one = push(**CHUNKS)  # distribution 2.8 drops an upload of which a chunk broke off
    one.proxy.add(Fault("PATCH", skip=3, cut=cut))
    one.run()


def test_a_connection_that_breaks_off_again_and_again_gets_there_if_each_gets_on(
    push: Callable[..., Push],
) -> None:
    one = push(**CHUNKS, attempts=3)
    one.proxy.add(Fault("PATCH", times=8, cut=100_000, is_kept=True))
    one.run()
    assert one.proxy.methods().count("POST") == 2


def test_an_upload_that_gets_nowhere_ends_after_some_tries(push: Callable[..., Push]) -> None:
    one = push(**CHUNKS, attempts=3)
    one.proxy.add(Fault("PATCH", times=99, cut=0))
    with pytest.raises(TransferBroken, match="broke off") as caught:
        one.run()
    assert caught.value.code == "FN470"
    assert one.proxy.methods().count("PATCH") == 3


def test_an_upload_that_the_registry_lost_begins_anew(push: Callable[..., Push]) -> None:
    one = push(**CHUNKS)
    one.proxy.add(Fault("PATCH", skip=2, status=404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'))
    one.run()
    one.proxy.add(Fault("PATCH", times=99, skip=1, status=404))  # only ever the first chunk
    with pytest.raises(RegistryError):
        push(DATA + b"!", **CHUNKS).run()
    assert one.proxy.methods().count("POST") < 20


@pytest.mark.parametrize("cut", [0, 1000, 900_000])
def test_a_whole_blob_that_breaks_off_is_sent_again(push: Callable[..., Push], cut: int) -> None:
    one = push()
    one.proxy.add(Fault("PUT", one.commit, cut=cut))
    one.run()


@pytest.mark.parametrize("status", [405, 413, 416])
def test_a_registry_that_refuses_chunks_gets_the_blob_whole(push: Callable[..., Push], status: int) -> None:
    one = push(**CHUNKS)
    one.proxy.add(Fault("PATCH", times=99, status=status))
    one.run()
    assert one.proxy.methods().count("PATCH") == 1


def test_a_proxy_that_limits_requests_gets_small_chunks(push: Callable[..., Push]) -> None:
    one = push(small_chunk_bytes=200_000)
    one.proxy.add(Fault("PUT", one.commit, status=413))
    one.run()
    assert one.proxy.methods().count("PATCH") == 6


def test_a_blob_that_is_refused_in_every_way_is_too_large(push: Callable[..., Push]) -> None:
    one = push(**CHUNKS)
    one.proxy.add(Fault("PATCH", times=99, status=413))
    one.proxy.add(Fault("PUT", one.commit, times=99, status=413, body=b"<html>too large</html>"))
    with pytest.raises(TooLarge, match=r"1048576 bytes neither whole nor in chunks of 50000") as caught:
        one.run()
    assert caught.value.code == "FN465"
    assert "client_max_body_size" in (caught.value.hint or "")


def test_the_sizes_of_chunks_that_a_registry_asks_for_are_kept(push: Callable[..., Push]) -> None:
    one, sizes = push(DATA[:500_000], **CHUNKS), {"OCI-Chunk-Min-Length": "250000"}

    def asks(method: str, path: str, headers: dict[str, str]) -> None:
        if method == "POST":
            headers.update(sizes)

    one.proxy.changes.append(asks)
    one.run()
    assert one.proxy.methods().count("PATCH") == 2
    one.proxy.requests.clear()
    sizes.clear()
    sizes["OCI-Chunk-Max-Length"] = "100000"
    push(DATA[:250_000], **CHUNKS).run()  # below the threshold, but above what one request may be
    assert one.proxy.methods().count("PATCH") == 3


def test_a_registry_that_takes_less_than_a_chunk_gets_the_rest(push: Callable[..., Push]) -> None:
    one = push(**CHUNKS)
    one.proxy.add(Fault("PATCH", skip=1, status=416))  # it says: not where you think; and is where we think
    one.run()
    assert "GET" in one.proxy.methods("/uploads/")


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 408])
def test_a_registry_that_fails_for_a_moment_is_asked_again(
    push: Callable[..., Push], method: str, status: int
) -> None:
    one = push()
    one.proxy.add(Fault(method, times=2, status=status))
    one.run()


def test_a_registry_that_goes_on_failing_is_quoted(push: Callable[..., Push]) -> None:
    one = push(attempts=3)
    one.proxy.add(
        Fault(
            "POST",
            times=99,
            status=500,
            body=b'{"errors":[{"code":"UNKNOWN","message":"disk\\u001b[31m full"}]}',
        )
    )
    with pytest.raises(RegistryError, match=r"answered 500 to a push to .*disk \[31m full") as caught:
        one.run()
    assert caught.value.code == "FN468"
    assert one.proxy.methods().count("POST") <= 6  # three tries for each of two blobs


def test_retry_after_is_obeyed_and_a_long_one_is_told(push: Callable[..., Push]) -> None:
    one = push()
    one.proxy.add(Fault("HEAD", status=429, headers={"Retry-After": "1"}))
    since = time.monotonic()
    one.run()
    assert time.monotonic() - since >= 1
    one.proxy.add(Fault("POST", times=99, status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(RateLimited, match="a pause of 3600 s") as caught:
        one.run()
    assert caught.value.code == "FN474"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_asked_for_once(push: Callable[..., Push], status: int) -> None:
    one = push(workers=1)
    one.proxy.add(Fault("POST", times=99, status=status, headers={"WWW-Authenticate": "Basic realm=x"}))
    with pytest.raises(RegistryError):
        one.run()
    assert one.proxy.methods().count("POST") == 1


def test_a_commit_whose_answer_was_lost_is_not_made_again(push: Callable[..., Push]) -> None:
    one = push(**CHUNKS)
    one.proxy.add(Fault("PUT", one.commit, truncated=0))
    one.run()
    assert one.proxy.methods().count("PATCH") == 6


def test_a_file_that_changes_during_a_push_is_told(
    proxy: FaultProxy, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(DATA)
    content = FileContent(Descriptor(LAYER, f"sha256:{sha256(DATA).hexdigest()}", len(DATA)), path)
    made = image(Layer(content, content.descriptor.digest))
    path.write_bytes(DATA[:-1])
    with Registries(settings(cache=None)) as client:
        with pytest.raises(ContentChanged, match="ended 1 bytes too early") as caught:
            push_image(reference(proxy.address), **made.parts, registries=client)
        assert caught.value.code == "FN471"
        path.write_bytes(DATA[:-1] + b"?")
        with pytest.raises(DigestMismatch, match="other bytes") as mismatch:
            push_image(reference(proxy.address), **made.parts, registries=client)
        assert mismatch.value.code == "FN466"


def test_a_registry_that_is_not_there_is_told_after_one_more_try(
    free_port: Callable[[], int], settings: Settings
) -> None:
    with (
        Registries(settings()) as client,
        pytest.raises(RegistryUnreachable, match="connection refused") as caught,
    ):
        push_image(reference(f"127.0.0.1:{free_port()}"), **image(layer(b"x")).parts, registries=client)
    assert caught.value.code == "FN461"
    with Registries(settings()) as client, pytest.raises(RegistryUnreachable, match="not known"):
        get_manifest(client, reference("registry.invalid"))


def test_a_registry_that_does_not_answer_runs_into_the_time_limit(settings: Settings) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = settings(connect_timeout_s=0.2, timeout_s=0.2, commit_timeout_s=0.2, attempts=2)
        with Registries(made) as client, pytest.raises(TransferBroken, match="no answer in time"):
            get_manifest(client, reference(f"127.0.0.1:{silent.getsockname()[1]}"))


def test_a_truncated_answer_is_taken_up_where_it_broke_off(push: Callable[..., Push]) -> None:
    one = push()
    one.proxy.add(Fault("GET", "/blobs/", truncated=300_001))
    one.proxy.add(Fault("GET", "/blobs/", truncated=200_000))
    one.run()
    assert one.proxy.methods("/blobs/sha256").count("GET") == 3


def test_wrong_bytes_are_refused(proxy: FaultProxy, settings: Settings) -> None:
    target, made = reference(proxy.address), image(layer(DATA))
    with Registries(settings()) as client:
        push_image(target, **made.parts, registries=client)
        wrong = DATA[:-1] + b"?"
        proxy.add(Fault("GET", "/blobs/", times=2, status=200, body=wrong))
        base = RegistryBase(target, client)
        with pytest.raises(DigestMismatch, match="another digest"):
            base.layers()[0].open().read()
        with pytest.raises(DigestMismatch):
            base.open_layer(base.layers()[0].descriptor)
        assert not list((settings().cache or Path()).rglob(".part-*"))
        proxy.add(Fault("GET", "/manifests/", status=200, body=b"{}"))
        with pytest.raises(DigestMismatch):
            get_manifest(client, target.at(made.manifest.descriptor.digest))


def test_giving_up_ends_the_work_soon(proxy: FaultProxy, settings: Settings) -> None:
    proxy.add(Fault("POST", times=99, status=503, headers={"Retry-After": "60"}))
    client = Registries(settings())
    threading.Timer(0.3, client.close).start()
    since = time.monotonic()
    with pytest.raises(Exception):  # noqa: B017 - any: the work is given up
        push_image(reference(proxy.address), **image(layer(b"x"), layer(b"y")).parts, registries=client)
    assert time.monotonic() - since < 30


class _Endless(io.RawIOBase):
    """Zeros that are made when they are read."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self._left)
        buffer[:count] = bytes(count)
        self._left -= count
        return count


@dataclass(frozen=True)
class Zeros:
    descriptor: Descriptor
    opened: list[int]

    def open(self, offset: int = 0) -> BinaryIO:
        self.opened.append(offset)
        return _Endless(self.descriptor.size_bytes - offset)  # type: ignore[return-value]


def test_a_content_is_opened_once_if_nothing_breaks_off(registry: str, settings: Settings) -> None:
    size, opened = 5_000_000, list[int]()
    digest = f"sha256:{sha256(bytes(size)).hexdigest()}"
    content = Zeros(Descriptor(LAYER, digest, size), opened)
    with Registries(settings(cache=None, **CHUNKS)) as client:
        target = reference(registry)
        push_image(target, **image(Layer(content, digest)).parts, registries=client)
        assert opened == [0]
        push_image(target, **image(Layer(content, digest)).parts, registries=client)
        assert opened == [0]  # a layer that is there is never made
