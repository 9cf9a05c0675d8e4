import asyncio
import uuid

import pytest

from fnpack_host.http.key_stores import BlobKeys, FileKeys, KeyStoreError, MountedKeys, key_store
from fnpack_host.http.keys import load_keys
from fnpack_host.settings import Settings
from fnpack_triggers.connections import StorageConnection


@pytest.fixture(params=["files", pytest.param("blobs", marks=pytest.mark.azurite)])
def store(request, tmp_path):
    if request.param == "files":
        return FileKeys(tmp_path / "keys")
    connection = request.getfixturevalue("azurite").connection_string
    return BlobKeys(StorageConnection.parse("AzureWebJobsStorage", connection), f"host-{uuid.uuid4().hex}")


async def test_keys_are_made_once_and_read_ever_after(store):
    first = await load_keys(store, ["Score"])
    assert await load_keys(store, ["score"]) == first
    (function_key,) = first.functions["score"]
    assert first.allow("function", "score", function_key)
    assert first.allow("function", "score", first.host[0])
    assert first.allow("admin", "", first.master[0])
    assert not first.allow("admin", "", function_key)
    assert not first.allow("function", "other", function_key)
    assert not first.allow("function", "score", "")
    assert function_key not in repr(first)


async def test_hosts_that_start_at_once_agree_on_the_keys(store):
    several = await asyncio.gather(*(load_keys(store, ["score"]) for _ in range(4)))
    assert all(keys == several[0] for keys in several)


async def test_mounted_keys_are_read_and_never_written(tmp_path):
    for name, value in {
        "host.master": "m\n",
        "host.function.default": "h",
        "functions.score.mine": "f",
    }.items():
        (tmp_path / name).write_text(value)
    keys = await load_keys(MountedKeys(tmp_path), ["score", "other"])
    assert keys.allow("admin", "", "m")
    assert keys.allow("function", "other", "h")
    assert keys.allow("function", "score", "f")
    assert not keys.allow("function", "other", "f")
    assert len(list(tmp_path.iterdir())) == 3


async def test_mounted_keys_that_cannot_be_read_are_an_error_that_shows_no_key(tmp_path):
    with pytest.raises(KeyStoreError, match="No such file"):
        await load_keys(MountedKeys(tmp_path / "away"), [])
    (tmp_path / "host.master").write_bytes(b"sesame\xff")
    with pytest.raises(KeyStoreError, match="not UTF-8") as caught:
        await load_keys(MountedKeys(tmp_path), [])
    assert "sesame" not in str(caught.value)


async def test_broken_key_file_is_an_error_that_shows_no_key(tmp_path):
    (tmp_path / "host.json").write_text('{"masterKey": {"value": "sesame"')
    with pytest.raises(KeyStoreError) as caught:
        await load_keys(FileKeys(tmp_path), [])
    assert "sesame" not in str(caught.value)


def test_no_place_for_keys_is_an_error():
    with pytest.raises(KeyStoreError, match="no place that holds keys"):
        key_store(Settings({}), "id", None)
