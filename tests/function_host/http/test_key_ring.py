import asyncio
import json
import uuid

import pytest

from fnpack_host.http import key_ring
from fnpack_host.http.key_ring import KeyRing
from fnpack_host.http.key_stores import BlobKeys, FileKeys, KeyStoreError, MountedKeys
from fnpack_triggers.connections import StorageConnection


@pytest.fixture(params=["files", "blobs"])
def store(request, tmp_path):
    if request.param == "files":
        return FileKeys(tmp_path / "keys")
    connection = request.getfixturevalue("azurite").connection_string
    return BlobKeys(StorageConnection.parse("AzureWebJobsStorage", connection), f"host-{uuid.uuid4().hex}")


@pytest.fixture
async def ring(store):
    one = KeyRing(store, ["score"], ["blobs_extension"])
    await one.load()
    yield one
    await one.close()


async def test_changed_keys_count_at_once(ring):
    value, is_new = await ring.put("mine", None, "", "score")
    assert is_new
    assert ring.keys.allow("function", "score", value)
    assert await ring.put("Mine", "chosen", "", "score") == ("chosen", False)
    assert not ring.keys.allow("function", "score", value)
    assert ring.keys.allow("function", "score", "chosen")
    assert await ring.delete("mine", "", "score")
    assert not ring.keys.allow("function", "score", "chosen")
    assert not await ring.delete("mine", "", "score")


async def test_host_system_and_master_keys_change(ring):
    await ring.put("x", "host-key", "functionkeys")
    await ring.put("x", "system-key", "systemkeys")
    before = await ring.master()
    assert await ring.put("_master", "new-master", "functionkeys") == ("new-master", False)
    assert ring.keys.allow("function", "any", "host-key")
    assert ring.keys.allow_system("X", "system-key")
    assert not ring.keys.allow_system("blobs_extension", "system-key")
    assert await ring.allow_admin("new-master")
    assert not await ring.allow_admin(before)
    assert set(await ring.list("systemkeys")) == {"x", "blobs_extension"}


async def test_changes_made_at_once_by_several_hosts_are_all_kept(store):
    rings = [KeyRing(store, ["score"]) for _ in range(4)]
    await asyncio.gather(*(one.load() for one in rings))
    await asyncio.gather(
        *(one.put(f"k{number}", f"v{number}", "", "score") for number, one in enumerate(rings))
    )
    assert set(await rings[0].list("", "score")) == {"default", "k0", "k1", "k2", "k3"}
    for one in rings:
        await one.close()


async def test_change_by_another_host_is_picked_up(store, monkeypatch):
    monkeypatch.setattr(key_ring, "REFRESH_S", 0.05)
    here, there = KeyRing(store, ["score"]), KeyRing(store, ["score"])
    await here.load()
    await there.load()
    await there.put("k", "v", "", "score")
    for _ in range(500):
        if here.keys.allow("function", "score", "v"):
            break
        await asyncio.sleep(0.02)
    assert here.keys.allow("function", "score", "v")
    await here.close()
    await there.close()


async def test_keys_are_read_only_when_first_asked_for(tmp_path):
    ring = KeyRing(FileKeys(tmp_path / "keys"))
    assert not await ring.allow_admin("")
    assert not (tmp_path / "keys").exists()
    assert not await ring.allow_admin("guess")
    assert await ring.allow_admin(await ring.master())
    await ring.close()


async def test_without_a_store_no_key_matches():
    ring = KeyRing(None)
    assert not await ring.allow_admin("x")
    with pytest.raises(KeyStoreError):
        await ring.list("keys")


async def test_mounted_keys_cannot_be_changed(tmp_path):
    (tmp_path / "host.master").write_text("m")
    (tmp_path / "host.systemkey.blobs_extension").write_text("s")
    ring = KeyRing(MountedKeys(tmp_path), ["score"], ["blobs_extension", "other"])
    await ring.load()
    assert ring.keys.allow_system("blobs_extension", "s")
    with pytest.raises(KeyStoreError, match="read-only"):
        await ring.put("x", None, "keys")
    await ring.close()


async def test_key_that_azure_encrypted_is_left_out(tmp_path, caplog):
    document = {"keys": [{"name": "a", "value": "CfDJ8", "encrypted": True}, {"name": "b", "value": "plain"}]}
    (tmp_path / "score.json").write_text(json.dumps(document))
    ring = KeyRing(FileKeys(tmp_path), ["score"])
    await ring.load()
    assert ring.keys.functions["score"] == ("plain",)
    assert "key `a` is encrypted" in caplog.text
    assert "CfDJ8" not in caplog.text
    await ring.close()
