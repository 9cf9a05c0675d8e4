"""fnpack's images hold no `cryptography`: what the host does with storage works without it, encryption says so."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fnpack_host
import fnpack_triggers

HIDE = """
import sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        hidden = fullname.partition(".")[0] == "cryptography"
        return None if hidden else PathFinder.find_spec(fullname, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
"""
USE_STORAGE = """
import asyncio, os, uuid
from fnpack_triggers.blob.account import open_blobs, open_queue
from fnpack_triggers.connections import StorageConnection

async def main():
    name = f"plain-{uuid.uuid4().hex}"
    connection = StorageConnection.parse("Test", os.environ["STORAGE"])
    async with open_blobs(connection) as service:
        container = await service.create_container(name)
        await container.upload_blob("a.json", b"[1]")
        await container.upload_blob("big", b"x" * (5 << 20))
        print([blob.name async for blob in container.list_blobs()])
        print(await (await container.download_blob("a.json")).readall())
        print(len(await (await container.download_blob("big")).readall()))
    async with open_queue(connection, name) as queue:
        await queue.create_queue()
        await queue.send_message("poison")
        print([message.content async for message in queue.receive_messages()])

asyncio.run(main())
"""
USE_KEYS = """
import asyncio, os, uuid
from fnpack_host.http.key_stores import BlobKeys
from fnpack_host.http.keys import load_keys
from fnpack_triggers.connections import StorageConnection

store = BlobKeys(StorageConnection.parse("Test", os.environ["STORAGE"]), f"host-{uuid.uuid4().hex}")
made = asyncio.run(load_keys(store, ["score"]))
print(asyncio.run(load_keys(store, ["score"])) == made)
"""
ENCRYPT = """
import asyncio, os, uuid
from fnpack_triggers.azure_imports import CryptographyMissingError
from fnpack_triggers.blob.account import open_blobs
from fnpack_triggers.connections import StorageConnection

class Key:
    def wrap_key(self, key):
        return key
    def get_kid(self):
        return "key"
    def get_key_wrap_algorithm(self):
        return "none"

async def main():
    async with open_blobs(StorageConnection.parse("Test", os.environ["STORAGE"])) as service:
        container = await service.create_container(f"sealed-{uuid.uuid4().hex}")
        blob = container.get_blob_client("a")
        blob.key_encryption_key, blob.require_encryption, blob.encryption_version = Key(), True, "2.0"
        try:
            await blob.upload_blob(b"secret")
        except CryptographyMissingError as error:
            print(error)

asyncio.run(main())
"""
WHERE_FROM = """
import sys
from fnpack_triggers.azure_imports import allow_missing_cryptography
before = list(sys.meta_path)
allow_missing_cryptography()
allow_missing_cryptography()
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
print(len(sys.meta_path) - len(before), AESGCM.__module__)
"""


def printed(code: str, storage: str = "") -> list[str]:
    """What a new Python prints that runs `code`."""
    environ = {**os.environ, "STORAGE": storage}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_blobs_and_queues_work_without_cryptography(azurite):
    assert printed(HIDE + USE_STORAGE, azurite.connection_string) == [
        "['a.json', 'big']",
        "b'[1]'",
        str(5 << 20),
        "['cG9pc29u']",  # base64, as Azure's host writes messages
    ]


def test_keys_live_in_blobs_without_cryptography(azurite):
    assert printed(HIDE + USE_KEYS, azurite.connection_string) == ["True"]


def test_encrypting_without_cryptography_says_what_is_missing(azurite):
    (line,) = printed(HIDE + ENCRYPT, azurite.connection_string)
    assert line.startswith("client-side encryption needs the cryptography package")


def test_real_package_wins_where_it_is_installed():
    pytest.importorskip("cryptography")
    (line,) = printed(WHERE_FROM)
    assert line.startswith("0 cryptography.")


def test_stand_ins_are_served_once_where_it_is_not():
    assert printed(HIDE + WHERE_FROM) == ["1 fnpack_triggers.azure_imports"]


@pytest.mark.parametrize("statement", ["import cryptography.fernet", "from cryptography import x509"])
def test_what_azure_does_not_import_stays_missing(statement):
    code = f"""
from fnpack_triggers.azure_imports import allow_missing_cryptography
allow_missing_cryptography()
try:
    {statement}
except ImportError as error:
    print(type(error).__name__)
"""
    assert printed(HIDE + code)[0] in {"ImportError", "ModuleNotFoundError"}


def test_only_the_account_module_imports_azure_storage():
    found = {
        path.name
        for package in (fnpack_host, fnpack_triggers)
        for path in Path(str(package.__file__)).parent.rglob("*.py")
        for module in imported(ast.parse(path.read_text("utf-8")))
        if module.startswith("azure.storage")
    }
    assert found == {"account.py"}


def test_worker_loads_nothing_of_the_triggers():
    code = """
import sys
import fnpack_host.worker.__main__
print([name for name in sys.modules if name.startswith(("fnpack_triggers", "azure"))])
"""
    assert printed(code) == ["[]"]


def imported(node: ast.AST) -> Iterator[str]:
    """Names of the modules that are imported at run time, anywhere in the code."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom):
        yield node.module or ""
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child)
