"""Pushes to a real registry: what is sent, what is not, and in how many requests."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable

import pytest

from fault_proxy import Fault, FaultProxy
from fnpack.oci.content import INDEX, BytesContent
from fnpack.progress import ProgressEvent
from fnpack.registry import (
    Push,
    Reference,
    Registries,
    RegistryBase,
    RegistrySettings,
    get_manifest,
    head_manifest,
    list_tags,
    push_image,
    push_index,
)
from fnpack.registry.errors import ImageNotFound, PlatformMissing, RegistryDenied, RegistryError
from fnpack.registry.referrers import attach, referrers
from image_parts import image, layer, reference
from services import Registry

Settings = Callable[..., RegistrySettings]


def test_an_image_is_there_byte_for_byte_under_all_its_tags(registry: str, registries: Registries) -> None:
    target, made = reference(registry), image(layer(b"one"), layer(b"x" * 300_000))
    result = push_image(target, **made.parts, registries=registries, tags=["latest", "1"])
    assert result.digest == made.manifest.descriptor.digest
    assert result.reference == target.at(result.digest)
    assert (result.pushed, result.sent_bytes) == (3, 300_003 + made.config.descriptor.size_bytes)
    assert set(list_tags(registries, target)) == {"1", "latest"}
    for where in (target, target.tagged("latest"), result.reference):
        assert get_manifest(registries, where) == made.manifest
        assert head_manifest(registries, where) == result.digest
    base = RegistryBase(target, registries)
    assert base.config().data == made.config.data
    assert [content.open().read() for content in base.layers()] == [b"one", b"x" * 300_000]
    assert base.layers()[1].open(299_990).read() == b"x" * 10


def test_nothing_changed_takes_two_requests_and_one_changed_layer_six(
    proxy: FaultProxy, settings: Settings
) -> None:
    target, first = reference(proxy.address), image(layer(b"base" * 50_000), layer(b"script 1"))
    with Registries(settings()) as client:
        push_image(target, **first.parts, registries=client)
    proxy.requests.clear()
    with Registries(settings()) as client:
        assert head_manifest(client, target) == first.manifest.descriptor.digest
        result = push_image(target, **first.parts, registries=client)
    assert (result.known, result.sent_bytes) == (3, 0)
    assert proxy.methods() == ["HEAD", "PUT"]
    second = image(first.layers[0], layer(b"script 2"))
    proxy.requests.clear()
    with Registries(settings()) as client:
        head_manifest(client, target)
        result = push_image(target, **second.parts, registries=client)
    assert (result.known, result.pushed) == (1, 2)
    assert sorted(proxy.methods()) == ["HEAD", "POST", "POST", "PUT", "PUT", "PUT"]


def test_a_blob_that_was_begun_is_sent_once_and_waited_for(proxy: FaultProxy, settings: Settings) -> None:
    target, made = reference(proxy.address), image(layer(b"early"), layer(b"late"))
    with Registries(settings()) as client:
        push = Push(target, client)
        push.begin(made.layers[0].content, "early")
        result = push.image(made.manifest, made.config, made.layers)
        assert (result.pushed, result.known) == (3, 0)
        assert [content.open().read() for content in RegistryBase(target, client).layers()] == [
            b"early",
            b"late",
        ]
    assert proxy.methods("/blobs/uploads/").count("PUT") == 3
    proxy.requests.clear()
    with Registries(settings()) as client:
        again = Push(target, client)
        again.begin(made.layers[0].content, "early")
        assert again.image(made.manifest, made.config, made.layers).known == 3
    assert proxy.methods() == ["PUT"]


def test_what_went_wrong_with_a_blob_that_was_begun_ends_the_push(
    proxy: FaultProxy, settings: Settings
) -> None:
    target, made = reference(proxy.address), image(layer(b"early"))
    proxy.add(Fault("POST", "/blobs/uploads/", status=403))
    with Registries(settings()) as client:
        push = Push(target, client)
        push.begin(made.layers[0].content, "early")
        while not proxy.requests:
            time.sleep(0.01)
        with pytest.raises(RegistryDenied):
            push.image(made.manifest, made.config, made.layers)
        assert head_of(client, target) is None


def test_an_early_blob_that_the_registry_lost_meanwhile_is_pushed_again(
    proxy: FaultProxy, settings: Settings
) -> None:
    known, made = image(layer(b"old")), image(layer(b"old"), layer(b"early"))
    target = reference(proxy.address)
    with Registries(settings()) as client:
        push_image(target, **known.parts, registries=client)
    body = json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "gone"}]}).encode()
    proxy.add(Fault("PUT", "/manifests/", status=404, body=body))
    with Registries(settings()) as client:
        push = Push(target, client)
        push.begin(made.layers[1].content, "early")
        result = push.image(made.manifest, made.config, made.layers)
        assert result.known == 0
        assert result.pushed + result.present == 3
        assert RegistryBase(target, client).manifest() == made.manifest


def test_what_is_intended_adds_up(registries: Registries) -> None:
    target, base = Reference.parse("r.example/app:1"), Reference.parse("r.example/base:1")
    registries.intend(target, base)
    registries.intend(target)
    assert registries.of(target).intended == {"repository:app:pull,push", "repository:base:pull"}


def head_of(client: Registries, target: Reference) -> str | None:
    try:
        return head_manifest(client, target)
    except ImageNotFound:
        return None


def test_a_machine_without_memory_sends_no_large_blob_twice(registry: str, settings: Settings) -> None:
    target, made = reference(registry), image(layer(b"x" * 200_000), layer(b"y" * 200_000))
    for expected in ({"pushed": 3}, {"present": 2, "pushed": 1}):
        with Registries(settings(cache=None)) as client:
            result = push_image(target, **made.parts, registries=client)
        assert {name: getattr(result, name) for name in expected} == expected


def test_blobs_that_the_registry_lost_are_pushed_again(
    registry_factory: Callable[..., Registry], settings: Settings, free_port: Callable[[], int]
) -> None:
    port, made = free_port(), image(layer(b"x" * 100_000), layer(b"y"))
    first, second = registry_factory(port=port), None
    target = reference(first.address)
    with Registries(settings()) as client:
        push_image(target, **made.parts, registries=client)
    first.close()
    second = registry_factory(port=port)  # at the same address, and empty
    with Registries(settings()) as client:
        result = push_image(target, **made.parts, registries=client)
        assert (result.known, result.pushed) == (0, 3)
        assert RegistryBase(target, client).manifest() == made.manifest
    assert second.address == first.address


def test_base_layers_in_the_same_registry_are_mounted(proxy: FaultProxy, settings: Settings) -> None:
    base_at, target = reference(proxy.address, "base"), reference(proxy.address, "app")
    standing = image(layer(b"b" * 200_000), layer(b"c" * 200_000))
    with Registries(settings()) as client:
        push_image(base_at, **standing.parts, registries=client)
        proxy.requests.clear()
        base = RegistryBase(base_at, client)
        result = push_image(
            target, **image(*standing.layers, layer(b"app")).parts, registries=client, base=base
        )
    assert (result.mounted, result.pushed) == (2, 2)
    assert result.sent_bytes < 1000
    assert "GET" not in proxy.methods("/blobs/sha256:")  # no layer was read
    assert proxy.methods("mount=") == ["POST", "POST"]


def test_a_registry_that_refuses_mounts_gets_the_layers(proxy: FaultProxy, settings: Settings) -> None:
    base_at, target = reference(proxy.address, "base"), reference(proxy.address, "app")
    standing = image(layer(b"b" * 200_000))
    proxy.add(Fault("POST", "mount=", times=9, status=400))
    with Registries(settings()) as client:
        push_image(base_at, **standing.parts, registries=client)
        base = RegistryBase(base_at, client)
        result = push_image(target, **standing.parts, registries=client, base=base)
        assert (result.mounted, result.pushed) == (0, 2)
        assert RegistryBase(target, client).layers()[0].open().read() == b"b" * 200_000


def test_base_layers_of_another_registry_are_streamed_over(
    registry: str, registry_factory: Callable[..., Registry], settings: Settings
) -> None:
    other = registry_factory().address
    base_at, target = reference(other, "base"), reference(registry, "app")
    standing = image(layer(b"b" * 3_000_000), layer(b"c" * 10))
    with Registries(settings(chunk_threshold_bytes=1_000_000, chunk_bytes=700_000, cache=None)) as client:
        push_image(base_at, **standing.parts, registries=client)
        base = RegistryBase(base_at, client, "linux/amd64")
        layers = [one._replace(content=base.remote(one.descriptor)) for one in standing.layers]
        result = push_image(target, **image(*layers, layer(b"app")).parts, registries=client, base=base)
        assert (result.pushed, result.mounted) == (4, 0)
        found = RegistryBase(target, client)
        assert [one.open().read() for one in found.layers()] == [b"b" * 3_000_000, b"c" * 10, b"app"]


def test_an_index_holds_one_image_for_each_platform(registry: str, registries: Registries) -> None:
    target, entries = reference(registry), []
    for platform in ("linux/amd64", "linux/arm64"):
        made = image(layer(platform.encode()), platform=platform)
        push_image(target.at(made.manifest.descriptor.digest), **made.parts, registries=registries)
        system, architecture = platform.split("/")
        entries.append(
            {**made.manifest.descriptor.to_json(), "platform": {"os": system, "architecture": architecture}}
        )
    with pytest.raises(ImageNotFound):  # no image of the index has taken its tag
        head_manifest(registries, target)
    body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    index = BytesContent.of(json.dumps(body).encode(), INDEX)
    result = push_index(target, index, registries=registries, tags=["latest"])
    assert result.digest == index.descriptor.digest
    assert set(list_tags(registries, target)) == {"1", "latest"}
    for platform in ("linux/amd64", "linux/arm64", "linux/arm64/v8"):
        base = RegistryBase(target, registries, platform)
        assert json.loads(base.config().data)["architecture"] == platform.split("/")[1]
    with pytest.raises(PlatformMissing, match=r"linux/s390x; it has linux/amd64, linux/arm64") as caught:
        RegistryBase(target, registries, "linux/s390x").manifest()
    assert caught.value.code == "FN469"


def test_an_image_of_one_platform_is_not_taken_for_another(registry: str, registries: Registries) -> None:
    target = reference(registry)
    push_image(target, **image(layer(b"x"), platform="linux/arm64").parts, registries=registries)
    assert RegistryBase(target, registries, "linux/arm64/v8").config()
    with pytest.raises(PlatformMissing, match="linux/amd64; it has linux/arm64"):
        RegistryBase(target, registries, "linux/amd64").config()


def test_an_sbom_is_attached_and_found(registry: str, registries: Registries) -> None:
    target, made = reference(registry), image(layer(b"x"))
    pushed = push_image(target, **made.parts, registries=registries)
    assert referrers(target, pushed.digest, registries=registries) == ()
    for text, kind in ((b"{}", "application/vnd.cyclonedx+json"), (b"{ }", "application/vnd.in-toto+json")):
        content = BytesContent.of(text, kind)
        attached = attach(
            target, pushed.manifest, content, kind, registries=registries, annotations={"a": "b"}
        )
        attach(
            target, pushed.manifest, content, kind, registries=registries, annotations={"a": "b"}
        )  # is once
        assert (
            json.loads(get_manifest(registries, attached.reference).data)["subject"]["digest"]
            == pushed.digest
        )
    found = referrers(target, pushed.digest, registries=registries)
    assert [one.artifact_type for one in found] == [
        "application/vnd.cyclonedx+json",
        "application/vnd.in-toto+json",
    ]
    kind = "application/vnd.in-toto+json"
    (only,) = referrers(target, pushed.digest, registries=registries, artifact_type=kind)
    manifest = json.loads(get_manifest(registries, target.at(only.descriptor.digest)).data)
    assert manifest["annotations"] == {"a": "b"}


def test_a_registry_with_a_list_of_referrers_gets_no_tag_for_it(
    proxy: FaultProxy, settings: Settings
) -> None:
    def says_subject(method: str, path: str, headers: dict[str, str]) -> None:
        if method == "PUT" and "/manifests/" in path:
            headers["OCI-Subject"] = "sha256:" + "0" * 64

    proxy.changes.append(says_subject)
    target = reference(proxy.address)
    with Registries(settings()) as client:
        pushed = push_image(target, **image(layer(b"x")).parts, registries=client)
        attach(target, pushed.manifest, BytesContent.of(b"{}", "a/b"), "a/b", registries=client)
        assert list_tags(client, target) == ("1",)


def test_what_was_attached_is_not_sent_again_and_its_list_is_asked_for_once(
    proxy: FaultProxy, settings: Settings
) -> None:
    target, kind = reference(proxy.address), "application/vnd.cyclonedx+json"
    with Registries(settings()) as client:
        pushed = push_image(target, **image(layer(b"x")).parts, registries=client)
        proxy.requests.clear()
        first = attach(target, pushed.manifest, BytesContent.of(b"{ }", kind), kind, registries=client)
        assert proxy.methods("/manifests/") == ["PUT", "GET", "PUT"]
        assert not proxy.methods("/tags/")
    proxy.requests.clear()
    with Registries(settings()) as client:
        again = attach(target, pushed.manifest, BytesContent.of(b"{ }", kind), kind, registries=client)
        other = image(layer(b"y"))
        assert (again.digest, proxy.requests) == (first.digest, [])
        pushed = push_image(target, **other.parts, registries=client)
        again = attach(target, pushed.manifest, BytesContent.of(b"{ }", kind), kind, registries=client)
    assert (again.known, again.sent_bytes) == (2, 0), "the document is there already"


def test_a_missing_image_is_told_with_what_is_near(registry: str, registries: Registries) -> None:
    target = reference(registry, tag="2024.1")
    with pytest.raises(ImageNotFound, match="no repository") as caught:
        RegistryBase(target, registries).manifest()
    assert caught.value.code == "FN464"
    push_image(target, **image(layer(b"x")).parts, registries=registries)
    with pytest.raises(ImageNotFound, match="has no tag `2024.2`") as caught:
        RegistryBase(target.tagged("2024.2"), registries).manifest()
    assert f"Did you mean `{target.name}:2024.1`?" in (caught.value.hint or "")


def test_events_tell_each_blob_and_arrive_one_at_a_time(registry: str, settings: Settings) -> None:
    events: list[ProgressEvent] = []
    inside = threading.Lock()

    def listen(event: ProgressEvent) -> None:
        assert inside.acquire(blocking=False)
        events.append(event)
        inside.release()

    target, made = reference(registry), image(layer(b"x" * 2_000_000, "numpy 2.2.6"), layer(b"y" * 10, "app"))
    for _ in range(2):
        with Registries(settings()) as client:
            push_image(target, **made.parts, registries=client, progress=listen)
    ends = [(e.step, e.status, e.detail) for e in events if e.status in ("done", "cached")]
    digest = made.manifest.descriptor.digest
    assert set(ends) == {
        ("push numpy 2.2.6", "done", "pushed"),
        ("push app", "done", "pushed"),
        ("push config", "done", "pushed"),
        ("push numpy 2.2.6", "cached", "known"),
        ("push app", "cached", "known"),
        ("push config", "cached", "known"),
        (f"push {target}", "done", digest),
    }
    whole = next(e for e in events if e.step == "push numpy 2.2.6" and e.status == "done")
    assert (whole.current_bytes, whole.total_bytes) == (2_000_000, 2_000_000)


def test_a_failure_in_one_blob_stops_the_others_and_is_the_one_told(
    proxy: FaultProxy, settings: Settings
) -> None:
    target = reference(proxy.address)
    many = [layer(bytes([n]) * 200_000, f"layer {n}") for n in range(12)]
    proxy.add(
        Fault(
            "PUT",
            "digest=",
            times=1,
            skip=2,
            status=403,
            body=b'{"errors":[{"code":"DENIED","message":"quota"}]}',
        )
    )
    with Registries(settings()) as client, pytest.raises(RegistryError, match="quota") as caught:
        push_image(target, **image(*many).parts, registries=client)
    assert caught.value.code == "FN463"
    assert "PUT" not in proxy.methods("/manifests/")


def test_what_skopeo_sees_is_what_was_pushed(registry: str, registries: Registries, skopeo: str) -> None:
    def tar(name: str) -> bytes:
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w") as archive:
            entry = tarfile.TarInfo(name)
            entry.size = 5
            archive.addfile(entry, io.BytesIO(b"hello"))
        return held.getvalue()

    target, other = reference(registry), reference(registry, "copy")
    made = image(layer(tar("etc/one")), layer(tar("etc/two")))
    pushed = push_image(target, **made.parts, registries=registries)
    address = f"docker://{target.name}:{target.tag}"
    told = subprocess.run(
        [skopeo, "inspect", "--tls-verify=false", address], check=True, capture_output=True, text=True
    )
    found = json.loads(told.stdout)
    assert found["Digest"] == pushed.digest
    assert found["Layers"] == [one.descriptor.digest for one in made.layers]
    copy = [skopeo, "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--insecure-policy"]
    exact = [*copy, "--preserve-digests", address, f"docker://{other.name}:1"]
    subprocess.run(exact, check=True, capture_output=True)
    assert get_manifest(registries, other) == made.manifest
    subprocess.run(
        [*copy, "-f", "v2s2", address, f"docker://{other.name}:docker"], check=True, capture_output=True
    )
    docker = RegistryBase(other.tagged("docker"), registries, "linux/amd64")
    assert "docker" in docker.manifest().descriptor.media_type
    assert len(docker.layers()) == 2


def test_a_reference_with_a_digest_needs_no_request_for_it(proxy: FaultProxy, settings: Settings) -> None:
    target = reference(proxy.address)
    with Registries(settings()) as client:
        pushed = push_image(target, **image(layer(b"x")).parts, registries=client)
        RegistryBase(target, client).config()
    proxy.requests.clear()
    with Registries(settings()) as client:
        pinned = RegistryBase(Reference.parse(str(pushed.reference)), client)
        assert json.loads(pinned.config().data)["os"] == "linux"
    assert proxy.requests == []
