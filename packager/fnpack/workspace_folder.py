"""Where a workspace lives on this machine: the nearest `.fnpack/` folder, else the user's own.

It owns finding, making and remembering those folders, not what is in them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fnpack.exceptions import WorkspaceException

FOLDER = ".fnpack"
FILE = "workspace.json"
# Where SDK v1's `write_config` puts the file, and where older tutorials have it.
AZURE_ML_CONFIGS = (".azureml/config.json", "aml_config/config.json", "config.json")
_AZURE_ML_KEYS = {"subscription_id", "resource_group", "workspace_name"}


@dataclass(frozen=True, slots=True)
class Places:
    """What the environment says: the user's own folder, and a workspace or registries chosen for all commands."""

    home: Path
    workspace: Path | None = None
    registry: str | None = None
    container_registry: str | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Places:
        """From FNPACK_HOME, FNPACK_WORKSPACE, FNPACK_REGISTRY and FNPACK_CONTAINER_REGISTRY."""
        given = os.environ if environ is None else environ
        workspace = given.get("FNPACK_WORKSPACE", "").strip()
        return cls(
            Path(given.get("FNPACK_HOME", "").strip() or Path.home() / FOLDER).absolute(),
            Path(workspace).absolute() if workspace else None,
            given.get("FNPACK_REGISTRY", "").strip() or None,
            given.get("FNPACK_CONTAINER_REGISTRY", "").strip() or None,
        )


@dataclass(frozen=True, slots=True)
class WorkspaceFolder:
    """A workspace: its folder, its name, and where its models and images go if not into the folder and the Engine.

    `registry` is the URL of a shared model registry, `container_registry` is `registry.example.com/team` style.
    """

    path: Path
    name: str
    registry: str | None = None
    container_registry: str | None = None
    subscription_id: str | None = None
    resource_group: str | None = None

    @property
    def models(self) -> Path:
        """The folder of the model registry that the workspace brings."""
        return self.path / "models"

    @property
    def cache(self) -> Path:
        """The folder for what can be fetched again."""
        return self.path / "cache"


def find(start: Path, *, make: bool = True) -> WorkspaceFolder | None:
    """The workspace that counts in `start`: FNPACK_WORKSPACE, the nearest one upwards, else the user's own.

    An Azure ML `config.json` upwards names a workspace too: a folder `.fnpack` beside it, of that name. What is not
    there yet is made, unless `make` is false: then None. Raises WorkspaceException for a file that cannot be read.
    """
    places = Places.read()
    if places.workspace is not None:
        folder = places.workspace if places.workspace.name == FOLDER else places.workspace / FOLDER
        if (folder / FILE).is_file():
            return _with_places(load(folder), places)
        return _with_places(create(folder, folder.parent.name or "default"), places) if make else None
    for parent in (start.absolute(), *start.absolute().parents):
        if (parent / FOLDER / FILE).is_file() and parent / FOLDER != places.home:
            return _with_places(load(parent / FOLDER), places)
        for name in AZURE_ML_CONFIGS:
            facts = azure_ml_config(parent / name)
            if facts is not None:
                return _with_places(_beside(parent, facts), places) if make else None
    if (places.home / FILE).is_file():
        return _with_places(load(places.home), places)
    return _with_places(create(places.home, "default"), places) if make else None


def load(folder: Path) -> WorkspaceFolder:
    """The workspace in a `.fnpack` folder. Raises WorkspaceException."""
    file = folder / FILE
    facts = _read(file)
    if facts is None:
        raise WorkspaceException(
            f"there is no workspace in {folder} (it has no {FILE})",
            hint='make one with `Workspace.create("name")`, or name another folder in FNPACK_WORKSPACE',
        )
    texts = {key: value for key, value in facts.items() if isinstance(value, str) and value}
    if "name" not in texts:
        raise WorkspaceException(
            f"{file} names no workspace", hint="it must have the key `name`, with a text"
        )
    keys = ("registry", "container_registry", "subscription_id", "resource_group")
    return WorkspaceFolder(folder, texts["name"], *(texts.get(key) for key in keys))


def create(folder: Path, name: str, **facts: str | None) -> WorkspaceFolder:
    """Make a workspace in a `.fnpack` folder, or take the one that another process just made there."""
    text = json.dumps(
        {"schema_version": 1, "name": name, **{key: value for key, value in facts.items() if value}}, indent=2
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text(
            "*\n", "utf-8"
        )  # models and logs do not belong into version control
        draft = folder / f"{FILE}.{os.getpid()}"
        draft.write_text(text + "\n", "utf-8")
        try:
            os.link(draft, folder / FILE)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            draft.replace(folder / FILE)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceException(
            f"no workspace can be made in {folder}: {error.strerror or error}",
            hint="choose a folder that can be written, for instance with FNPACK_HOME or FNPACK_WORKSPACE",
        ) from error
    made = load(folder)
    _remember(made)
    return made


def known() -> Iterator[WorkspaceFolder]:
    """The workspaces that were made on this machine and are still there."""
    for file in sorted((Places.read().home / "known").glob("*.txt")):
        with suppress(WorkspaceException, OSError):
            yield load(Path(file.read_text("utf-8").strip()))


def from_azure_ml_config(path: Path) -> WorkspaceFolder:
    """The workspace that an Azure ML `config.json` means: `.fnpack` beside it. Raises WorkspaceException."""
    facts = azure_ml_config(path)
    if facts is None:
        raise WorkspaceException(
            f"{path} is no Azure ML configuration of a workspace",
            hint="it is JSON with `subscription_id`, `resource_group` and `workspace_name`",
        )
    folder = path.absolute().parent
    beside = folder.parent if folder.name in (".azureml", "aml_config") else folder
    return _with_places(_beside(beside, facts), Places.read())


def azure_ml_config(path: Path) -> dict[str, str] | None:
    """The texts of an Azure ML `config.json`; None where there is no such file, or it is about something else."""
    facts = _read(path, quiet=True)
    if facts is None or "workspace_name" not in facts or not facts.keys() & _AZURE_ML_KEYS:
        return None
    return {key: value for key, value in facts.items() if isinstance(value, str)}


def _beside(parent: Path, facts: Mapping[str, str]) -> WorkspaceFolder:
    if (parent / FOLDER / FILE).is_file():
        return load(parent / FOLDER)
    return create(
        parent / FOLDER,
        facts.get("workspace_name") or "default",
        subscription_id=facts.get("subscription_id"),
        resource_group=facts.get("resource_group"),
    )


def _with_places(found: WorkspaceFolder, places: Places) -> WorkspaceFolder:
    return replace(
        found,
        registry=places.registry or found.registry,
        container_registry=places.container_registry or found.container_registry,
    )


def _remember(made: WorkspaceFolder) -> None:
    folder = Places.read().home / "known"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(str(made.path).encode()).hexdigest()[:16]
        (folder / f"{name}.txt").write_text(f"{made.path}\n", "utf-8")
    except OSError:  # a home that cannot be written: `Workspace.list` knows less
        pass


def _read(path: Path, *, quiet: bool = False) -> dict[str, object] | None:
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        if quiet:
            return None
        raise WorkspaceException(
            f"{path} cannot be read: {error}", hint="mend or remove the file; the models beside it stay"
        ) from error
    return value if isinstance(value, dict) else None
