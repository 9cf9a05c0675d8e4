"""What only a shared registry has: what it asks of storage, lost answers, strangers' records, endless uploads."""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import fsspec
import pytest

from fnpack.models.errors import ContentDamaged, RegistryError, RegistryUnfit
from fnpack.models.registry import Draft
from fnpack.models.shared import SharedRegistry
from fnpack.models.storage import Storage

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def registry(url: str, tmp_path: Path) -> SharedRegistry:
    return SharedRegistry(url, tmp_path / "cache")


def files(url: str) -> dict[str, bytes]:
    fs, root = fsspec.core.url_to_fs(url)
    return {name[len(root) + 1 :]: fs.cat_file(name) for name in fs.find(root)}


@pytest.mark.parametrize("kind", ["http", "ftp", "zip", "nonsense"])
def test_storage_without_conditional_creation_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryUnfit, match=f"`{kind}` cannot hold a model registry"):
        SharedRegistry(f"{kind}://host/x", tmp_path)


def test_storage_that_overwrites_all_the_same_is_refused(registry, weights, monkeypatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    original = MemoryFileSystem.pipe_file
    monkeypatch.setattr(
        MemoryFileSystem, "pipe_file", lambda self, path, value, mode="overwrite": original(self, path, value)
    )
    with pytest.raises(RegistryUnfit, match="overwrites a file where it was asked to create"):
        registry.register(Draft("m", weights))


def test_version_whose_answer_was_lost_is_not_registered_twice(registry, weights, monkeypatch) -> None:
    original = Storage.create
    lost: list[str] = []

    def create(self, path: str, data: bytes) -> bool:
        made = original(self, path, data)
        if path.startswith("models/") and made and not lost:
            lost.append(path)
            return original(self, path, data)  # the client repeats the request that did arrive
        return made

    monkeypatch.setattr(Storage, "create", create)
    assert registry.register(Draft("m", weights)).version == 1
    assert lost == ["models/m/1/000000.json"]
    assert [record.version for record in registry.records()] == [1]


def test_content_stays_when_claiming_the_version_fails_half_way(registry, weights, monkeypatch, url) -> None:
    original = Storage.create

    def create(self, path: str, data: bytes) -> bool:
        made = original(self, path, data)
        if path.startswith("models/"):
            raise RegistryError("the network is gone")  # after the service has done it
        return made

    monkeypatch.setattr(Storage, "create", create)
    with pytest.raises(RegistryError, match="network"):
        registry.register(Draft("m", weights))
    monkeypatch.undo()
    assert registry.fetch(registry.get("m"), weights.parent / "out").read_bytes() == b"weights"


def test_history_of_a_model_is_kept_as_revisions(registry, weights, url) -> None:
    registry.register(Draft("m", weights))
    registry.change("m", 1, lambda old: old)
    registry.delete("m", 1)
    assert sorted(name for name in files(url) if name.startswith("models/")) == [
        f"models/m/1/{number:06d}.json" for number in range(3)
    ]
    assert not [name for name in files(url) if name.startswith("content/")]


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["files"][0].update(path="../../etc/passwd"),
        lambda record: record["files"][0].update(path="/etc/passwd"),
        lambda record: record["files"][0].update(path="a\\..\\b"),
        lambda record: record["files"][0].update(digest="../x"),
        lambda record: record["files"][0].update(size=-1),
        lambda record: record.update(files=[]),
        lambda record: record.update(name="other"),
        lambda record: record.update(schema_version=9),
        lambda record: record.update(tags=[1]),
        lambda record: record.update(created_time="yesterday"),
    ],
)
def test_records_that_lead_elsewhere_are_refused(registry, weights, url, change) -> None:
    registry.register(Draft("m", weights))
    fs, root = fsspec.core.url_to_fs(url)
    path = f"{root}/models/m/1/000000.json"
    data = json.loads(fs.cat_file(path))
    change(data["record"])
    fs.pipe_file(path, json.dumps(data).encode())
    with pytest.raises(ContentDamaged, match=r"000000\.json is not a model's record|does not know"):
        registry.get("m")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"null", b'{"record": 1}', b"[" * 100_000])
def test_garbage_in_place_of_a_record_is_told(registry, weights, url, text) -> None:
    registry.register(Draft("m", weights))
    fs, root = fsspec.core.url_to_fs(url)
    fs.pipe_file(f"{root}/models/m/1/000000.json", text)
    with pytest.raises(ContentDamaged):
        registry.get("m")


def test_only_uploads_of_a_week_ago_are_swept(registry, weights, url) -> None:
    record = registry.register(Draft("m", weights))
    fs, root = fsspec.core.url_to_fs(url)
    now = datetime.now(timezone.utc)
    for days in (0, 2, 8):
        upload = (now - timedelta(days=days)).strftime("%Y%m%dT%H%M%S") + f"-{uuid.uuid4().hex}"
        fs.pipe_file(f"{root}/content/{upload}/{'0' * 64}", b"x")
    assert registry.collect().registrations == 1
    assert len([name for name in files(url) if name.startswith("content/")]) == 3
    assert registry.fetch(record, weights.parent / "out").exists()


def test_upload_that_took_more_than_a_day_never_becomes_a_model(registry, weights, monkeypatch) -> None:
    from fnpack.models import shared

    monkeypatch.setattr(shared, "_UPLOAD_LASTS", timedelta(0))
    with pytest.raises(RegistryError, match="more than 0 day"):
        registry.register(Draft("m", weights))
    assert registry.records() == []


def test_missing_container_and_wrong_settings_are_told_without_secrets(azurite, tmp_path, weights) -> None:
    options = {"connection_string": azurite.connection_string}
    registry = SharedRegistry("az://there-is-no-such-container/x", tmp_path / "cache", options)
    with pytest.raises(RegistryError, match=r"az://there-is-no-such-container/x: cannot write") as caught:
        registry.register(Draft("m", weights))
    assert "AZURE_STORAGE_CONNECTION_STRING" in (caught.value.hint or "")
    key = re.search(r"AccountKey=([^;]+)", azurite.connection_string)
    assert key
    assert key[1] not in str(caught.value) + repr(caught.value.__cause__)


def test_logins_in_urls_are_not_shown(tmp_path) -> None:
    with pytest.raises(RegistryUnfit) as caught:
        SharedRegistry("ftp://me:c2VzYW1l@host/x", tmp_path)
    assert "c2VzYW1l" not in str(caught.value)
