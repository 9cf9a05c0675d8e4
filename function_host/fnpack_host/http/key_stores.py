"""The places keys can live: a mounted folder of secrets, a folder of files, or a blob container."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack_host.http.keys import Change, Document, KeyStore, dump
from fnpack_host.settings import Settings
from fnpack_triggers.base import Json
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import FnpackError

if TYPE_CHECKING:
    from azure.storage.blob.aio import ContainerClient

MAX_ATTEMPTS = 8
MOUNTED = Path("/run/secrets/functions-keys")  # where Azure's own Kubernetes deployments mount them
CONTAINER = "azure-webjobs-secrets"


class KeyStoreError(FnpackError):
    """Keys can be neither read nor written."""

    code = "FN230"
    exit_code = 3


class MountedKeys:
    """A read-only folder with one file per key.

    `host.master`, `host.function.default`, `host.systemkey.<name>`, `functions.<name>.<key>`.
    """

    is_read_only = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return f"the mounted folder {self._folder}"

    async def read(self, name: str) -> Document:
        """The keys of the host or of one function; a document without keys where no file gives any."""
        if name == "host":
            master = self._values("host.master")
            return {
                "masterKey": master[0] if master else None,
                "functionKeys": list(self._values("host.function.")),
                "systemKeys": list(self._values("host.systemkey.")),
            }
        return {"keys": list(self._values(f"functions.{name}."))}

    async def update(self, name: str, change: Change) -> Document:
        """Never writes: a change is an error."""
        document = await self.read(name)
        if change(document) != document:
            raise KeyStoreError(f"{self} is read-only", hint="change the secret that is mounted there")
        return document

    def _values(self, prefix: str) -> list[Json]:
        try:
            files = sorted(
                path
                for path in self._folder.iterdir()
                if path.name.lower().startswith(prefix) and path.is_file()
            )
            return [
                {"name": path.name[len(prefix) :] or "master", "value": path.read_text("utf-8").strip()}
                for path in files
            ]
        except (OSError, UnicodeDecodeError) as error:  # Kubernetes may be exchanging the files just now
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise KeyStoreError(f"cannot read the keys in {self}: {reason}") from error


class FileKeys:
    """A folder of JSON files, `host.json` and `<function>.json`, readable by their owner alone."""

    is_read_only = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return f"the folder {self._folder}"

    async def read(self, name: str) -> Document | None:
        """The document, or None."""
        path = self._folder / f"{name}.json"
        try:
            return _document(path.read_bytes(), str(path)) if path.is_file() else None
        except OSError as error:
            raise KeyStoreError(f"cannot read the keys in {path}: {error.strerror}") from error

    async def update(self, name: str, change: Change) -> Document:
        """Write the changed file whole or not at all, one host at a time."""
        path = self._folder / f"{name}.json"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self._folder / ".lock").open("a") as lock:
                await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
                found = await self.read(name)
                document = change(found)
                if document != found:
                    _replace(path, dump(document))
        except OSError as error:
            found = await self.read(name)  # a folder that cannot be written to may hold all that is needed
            if found is not None and change(found) == found:
                return found
            raise KeyStoreError(
                f"cannot write the keys to {path}: {error.strerror}", hint=NO_STORE_HINT
            ) from error
        return document


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.touch(mode=0o600)
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


class BlobKeys:
    """Blobs `azure-webjobs-secrets/<host id>/host.json` and `<function>.json`, shared by all hosts of the app."""

    is_read_only = False

    def __init__(self, connection: StorageConnection, host_id: str) -> None:
        self._connection, self._host_id = connection, host_id

    def __str__(self) -> str:
        return f"the blob container {CONTAINER}, folder {self._host_id}"

    async def read(self, name: str) -> Document | None:
        """The document, or None where blob or container are absent."""
        from azure.core.exceptions import AzureError

        try:
            async with self._container() as container:
                return (await self._read(container, name))[0]
        except AzureError as error:
            raise self._failed("read", name, error) from error

    async def update(self, name: str, change: Change) -> Document:
        """Write the changed blob over the version that was read; starts again where another host was quicker."""
        from azure.core.exceptions import (
            AzureError,
            ResourceExistsError,
            ResourceModifiedError,
            ResourceNotFoundError,
        )

        try:
            async with self._container() as container:
                for _ in range(MAX_ATTEMPTS):
                    found, etag = await self._read(container, name)
                    document = change(found)
                    if document == found:
                        return document
                    try:
                        await self._write(container, name, dump(document), etag)
                    except ResourceNotFoundError:  # the container is missing
                        with contextlib.suppress(ResourceExistsError):
                            await container.create_container()
                    except (ResourceExistsError, ResourceModifiedError):
                        await asyncio.sleep(random.uniform(0, 0.2))  # noqa: S311 - spreads hosts out
                    else:
                        return document
        except AzureError as error:
            raise self._failed("write", name, error) from error
        raise KeyStoreError(f"the keys in {CONTAINER}/{self._path(name)} change all the time")

    def _path(self, name: str) -> str:
        return f"{self._host_id}/{name}.json"

    @contextlib.asynccontextmanager
    async def _container(self) -> AsyncIterator[ContainerClient]:
        from fnpack_triggers.blob.account import open_blobs

        async with open_blobs(self._connection) as service:
            yield service.get_container_client(CONTAINER)

    async def _read(self, container: ContainerClient, name: str) -> tuple[Document | None, str]:
        """The document and the version of its blob."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            download = await container.get_blob_client(self._path(name)).download_blob()
            content = await download.readall()
        except ResourceNotFoundError:
            return None, ""
        return _document(content, f"{CONTAINER}/{self._path(name)}"), str(download.properties.etag)

    async def _write(self, container: ContainerClient, name: str, content: bytes, etag: str) -> None:
        """Write the blob over the version `etag`; an empty one means that there is none yet."""
        from azure.core import MatchConditions

        if etag:
            await container.upload_blob(
                self._path(name),
                content,
                overwrite=True,
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
            )
        else:
            await container.upload_blob(self._path(name), content, overwrite=False)

    def _failed(self, what: str, name: str, error: Exception) -> KeyStoreError:
        return KeyStoreError(f"cannot {what} the keys in {CONTAINER}/{self._path(name)}: {_reason(error)}")


NO_STORE_HINT = (
    "keys need a place: set AzureWebJobsStorage, or set FUNCTIONS_SECRETS_PATH to a writable folder, "
    f"or mount key files at {MOUNTED}, or build with --auth-level anonymous"
)


def key_store(settings: Settings, host_id: str, state: StorageConnection | None) -> KeyStore:
    """The store to use: mounted folder, then files where asked for, then blobs where a storage account is set.

    Raises KeyStoreError where there is none.
    """
    if MOUNTED.is_dir():
        return MountedKeys(MOUNTED)
    if settings.is_set("FUNCTIONS_SECRETS_PATH"):
        return FileKeys(Path(settings["FUNCTIONS_SECRETS_PATH"]))
    if state is not None and settings.get("AzureWebJobsSecretStorageType", "").lower() != "files":
        return BlobKeys(state, host_id)
    raise KeyStoreError(
        "a function asks for a key, but there is no place that holds keys", hint=NO_STORE_HINT
    )


def _document(content: bytes, where: str) -> Document:
    try:
        document: Json = json.loads(content)
    except ValueError as error:
        raise KeyStoreError(f"the keys in {where} are not valid JSON") from error
    if not isinstance(document, dict):
        raise KeyStoreError(f"the keys in {where} are not a JSON object")
    return document


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
