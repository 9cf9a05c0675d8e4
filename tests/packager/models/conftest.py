"""Every registry that there is, for tests of what all of them promise."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fnpack.models.local import LocalRegistry
from fnpack.models.registry import ModelRegistry
from fnpack.models.shared import SharedRegistry


@pytest.fixture
def container(azurite) -> Iterator[tuple[str, dict[str, object]]]:
    """A registry's URL in a blob container of this test's own, and adlfs's options for it."""
    from azure.storage.blob import BlobServiceClient

    name = f"models-{uuid.uuid4().hex[:8]}"
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container(name)
        yield f"az://{name}/team", {"connection_string": azurite.connection_string}
        service.delete_container(name)


@pytest.fixture(params=["local", "file", "memory", "azurite"])
def open_registry(request, tmp_path: Path) -> Callable[[], ModelRegistry]:
    """Opens one registry, each time as another process would."""
    match request.param:
        case "local":
            return lambda: LocalRegistry(tmp_path / "registry")
        case "file":
            return lambda: SharedRegistry(f"file://{tmp_path}/shared", tmp_path / "cache")
        case "memory":
            url = f"memory://{uuid.uuid4().hex}"
            return lambda: SharedRegistry(url, tmp_path / "cache")
        case _:
            url, options = request.getfixturevalue("container")
            return lambda: SharedRegistry(url, tmp_path / "cache", options)


@pytest.fixture
def registry(open_registry) -> ModelRegistry:
    """One registry."""
    return open_registry()
