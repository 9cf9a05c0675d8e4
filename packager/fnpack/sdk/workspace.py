"""`Workspace`: a folder of this machine with models, environments, packages and local services."""

from __future__ import annotations

import builtins
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fnpack import workspace_folder
from fnpack.exceptions import WorkspaceException
from fnpack.models.opened import registry_of
from fnpack.models.registry import ModelRegistry
from fnpack.sdk.not_carried import NotCarriedOver
from fnpack.workspace_folder import FOLDER, WorkspaceFolder

if TYPE_CHECKING:
    from fnpack.sdk.environment import Environment
    from fnpack.sdk.model import Model
    from fnpack.sdk.webservice import LocalWebservice

_ABSENT = {
    **dict.fromkeys(
        ("experiments", "get_run"), "track runs with MLflow; `fnpack build --model runs:/...` takes them"
    ),
    **dict.fromkeys(
        ("datasets", "datastores", "get_default_datastore", "set_default_datastore"),
        "read data with the library of where it is: fsspec, azure-storage-blob, pandas",
    ),
    **dict.fromkeys(
        ("compute_targets", "get_default_compute_target"),
        "there is no compute to manage: an image runs where you start it",
    ),
    "get_default_keyvault": "pass secrets as app settings where the image runs",
    "get_mlflow_tracking_uri": "set MLFLOW_TRACKING_URI to your MLflow server",
    **dict.fromkeys(("images", "linked_services"), "use `ModelPackage.list(workspace)`"),
    **dict.fromkeys(
        ("private_endpoints", "list_keys", "sync_keys", "diagnose_workspace", "set_connection"),
        "a workspace is a folder here, so there is nothing to connect to",
    ),
}


class Workspace:
    """A local workspace. Subscription and resource group are kept for scripts that print them; nothing asks Azure."""

    def __init__(
        self,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        workspace_name: str | None = None,
        auth: object = None,
        _location: str | None = None,
        _folder: WorkspaceFolder | None = None,
        **_unused: object,
    ) -> None:
        """The workspace of that name, or the one that counts here. Raises WorkspaceException."""
        self._folder = _folder or _named(workspace_name)
        self._subscription_id, self._resource_group = subscription_id, resource_group

    @staticmethod
    def from_config(
        path: str | None = None, auth: object = None, _logger: object = None, _file_name: str | None = None
    ) -> Workspace:
        """The workspace that counts in `path`, by default in the current folder.

        That is the nearest `.fnpack/` upwards. An Azure ML `config.json` (also in `.azureml/`) on the way, or given
        as `path`, makes one beside it with the `workspace_name` that it says. Without either it is the user's own,
        `~/.fnpack`. Raises WorkspaceException.
        """
        start = Path(path) if path is not None else Path.cwd()
        if _file_name is not None:
            start /= _file_name
        if start.is_file():
            return Workspace(_folder=workspace_folder.from_azure_ml_config(start))
        if not start.is_dir():
            raise WorkspaceException(
                f"there is no file or folder {start}", hint="give the path of a config.json, or leave it out"
            )
        found = workspace_folder.find(start)
        if found is None:  # cannot be: it is made
            raise AssertionError("no workspace")
        return Workspace(_folder=found)

    @staticmethod
    def create(
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        create_resource_group: bool = True,
        sku: str = "basic",
        tags: Mapping[str, str] | None = None,
        friendly_name: str | None = None,
        storage_account: str | None = None,
        key_vault: str | None = None,
        app_insights: str | None = None,
        container_registry: str | None = None,
        exist_ok: bool = False,
        show_output: bool = True,
        path: str | None = None,
        registry: str | None = None,
        **_unused: object,
    ) -> Workspace:
        """Make a workspace in `path`/.fnpack, by default in the current folder.

        `registry` is the URL of a shared model registry (`az://container/folder`); by default models are kept in the
        workspace. `container_registry` is where packages are pushed (`registry.example.com/team`); by default they
        stay in the Docker Engine. Azure's own arguments are accepted and not used.
        """
        if not name.strip():
            raise WorkspaceException("a workspace needs a name")
        folder = Path(path or ".").absolute() / FOLDER
        if (folder / workspace_folder.FILE).is_file():
            there = workspace_folder.load(folder)
            if not exist_ok or there.name != name:
                raise WorkspaceException(
                    f"{folder} holds the workspace `{there.name}` already",
                    hint="`Workspace.from_config()` opens it; exist_ok=True takes it if the name is the same",
                )
            return Workspace(_folder=there)
        made = workspace_folder.create(
            folder,
            name,
            registry=registry,
            container_registry=container_registry,
            subscription_id=subscription_id,
            resource_group=resource_group,
        )
        if show_output:
            print(f"Workspace {name} is in {folder}")
        return Workspace(_folder=made)

    @staticmethod
    def get(
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        cloud: str = "AzureCloud",
        id: str | None = None,
    ) -> Workspace:
        """The workspace of that name. Raises WorkspaceException where this machine knows none."""
        return Workspace(subscription_id, resource_group, name)

    @staticmethod
    def list(
        subscription_id: str | None = None, auth: object = None, resource_group: str | None = None
    ) -> dict[str, builtins.list[Workspace]]:
        """The workspaces that were made on this machine and are still there, by name."""
        found: dict[str, builtins.list[Workspace]] = {}
        for folder in workspace_folder.known():
            found.setdefault(folder.name, []).append(Workspace(_folder=folder))
        return found

    @property
    def name(self) -> str:
        """The name."""
        return self._folder.name

    @property
    def path(self) -> Path:
        """The folder that holds everything."""
        return self._folder.path

    @property
    def subscription_id(self) -> str | None:
        """What was given or what config.json said; nothing uses it."""
        return self._subscription_id or self._folder.subscription_id

    @property
    def resource_group(self) -> str | None:
        """What was given or what config.json said; nothing uses it."""
        return self._resource_group or self._folder.resource_group

    @property
    def location(self) -> str:
        """`local`."""
        return "local"

    @property
    def models(self) -> dict[str, Model]:
        """The latest version of each model, by name."""
        from fnpack.sdk.model import Model

        return {model.name: model for model in Model.list(self, latest=True)}

    @property
    def environments(self) -> dict[str, Environment]:
        """The latest version of each environment, by name."""
        from fnpack.sdk.environment import Environment

        return Environment.list(self)

    @property
    def webservices(self) -> dict[str, LocalWebservice]:
        """The local services, by name."""
        from fnpack.sdk.webservice import Webservice

        return {service.name: service for service in Webservice.list(self)}

    def write_config(self, path: str | None = None, file_name: str | None = None) -> None:
        """Write `.azureml/config.json` below `path`, in Azure ML's form."""
        target = Path(path or ".") / ".azureml" / (file_name or "config.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        facts = {
            "subscription_id": self.subscription_id,
            "resource_group": self.resource_group,
            "workspace_name": self.name,
        }
        target.write_text(json.dumps(facts, indent=4) + "\n", "utf-8")

    def get_details(self) -> dict[str, object]:
        """Name, place and registries."""
        return {
            "name": self.name,
            "location": self.location,
            "path": str(self.path),
            "registry": self.registry.location,
            "containerRegistry": self.container_registry,
            "subscriptionId": self.subscription_id,
            "resourceGroup": self.resource_group,
        }

    def delete(self, delete_dependent_resources: bool = False, no_wait: bool = False) -> None:
        """Delete the workspace's folder: models, environments, packages and services, which are stopped first."""
        for service in self.webservices.values():
            service.delete()
        shutil.rmtree(self.path)

    def __repr__(self) -> str:
        return f"Workspace(name={self.name!r}, path={str(self.path)!r})"

    @property
    def registry(self) -> ModelRegistry:
        """Where models are kept."""
        return registry_of(self._folder)

    @property
    def container_registry(self) -> str | None:
        """Where packages are pushed (`registry.example.com/team`); None: they stay in the Docker Engine."""
        return self._folder.container_registry

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            if name in _ABSENT:
                raise MissingAttribute(f"Workspace.{name} is not part of fnpack", hint=_ABSENT[name])
            raise AttributeError(f"'Workspace' object has no attribute '{name}'")


class MissingAttribute(NotCarriedOver, AttributeError):  # noqa: N818 - says what it is
    """As an attribute that is missing, so that `hasattr` and `getattr` with a default go on to work."""

    code = "FN530"


def _named(name: str | None) -> WorkspaceFolder:
    here = workspace_folder.find(Path.cwd(), make=name is None)
    if here is not None and name in (None, here.name):
        return here
    named = [folder for folder in workspace_folder.known() if folder.name == name]
    if len(named) == 1:
        return named[0]
    if named:
        places = ", ".join(str(folder.path) for folder in named)
        raise WorkspaceException(
            f"several workspaces are named `{name}`: {places}",
            hint="`Workspace.from_config(path)` names one by its place",
        )
    raise WorkspaceException(
        f"this machine knows no workspace `{name}`", hint=f'make it once: `Workspace.create("{name}")`'
    )
