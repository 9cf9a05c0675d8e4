"""Which registry counts: the one of a workspace, or the one that an URL names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fnpack.models.registry import ModelRegistry
from fnpack.workspace_folder import WorkspaceFolder, find


def registry_of(workspace: WorkspaceFolder) -> ModelRegistry:
    """The workspace's own registry, or the shared one that it names."""
    if workspace.registry is not None:
        return registry_at(workspace.registry, workspace.cache)
    from fnpack.models.local import LocalRegistry

    return LocalRegistry(workspace.models)


def registry_at(url: str, cache: Path) -> ModelRegistry:
    """The registry at an fsspec URL, or in a folder."""
    if "://" not in url:
        from fnpack.models.local import LocalRegistry

        return LocalRegistry(Path(url).expanduser())
    from fnpack.models.shared import SharedRegistry

    return SharedRegistry(url, cache / "models" / hashlib.sha256(url.encode()).hexdigest()[:12])


def registry_near(folder: Path, url: str | None = None, *, make: bool = False) -> ModelRegistry | None:
    """The registry that counts in `folder`, or at `url`; None where there is none yet and none is to be made."""
    workspace = find(folder, make=make or url is not None)
    if workspace is None:
        return None
    return registry_of(workspace) if url is None else registry_at(url, workspace.cache)
