"""`ModelPackage`: an image, or the context of one, that is being made or was made. A workspace records each."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from fnpack.config.options import Value
from fnpack.exceptions import UserErrorException, WebserviceException
from fnpack.models.record import ModelRecord
from fnpack.models.registry import users_with
from fnpack.progress import Progress, ProgressEvent
from fnpack.sdk import building
from fnpack.sdk.container_registry import ContainerRegistry
from fnpack.sdk.inference_config import InferenceConfig, build_settings
from fnpack.sdk.liveness import hold, is_held
from fnpack.sdk.model import Model, model_sources
from fnpack.sdk.workspace import Workspace
from fnpack_triggers.errors import FnpackError

_FINAL = ("Succeeded", "Failed", "Cancelled", "TimedOut")
_FILE, _LOG, _CONTEXT, _LOCK = "package.json", "build.log", "context", "lock"


class PackageFailed(WebserviceException):
    """A package could not be made; the text says why, and `get_logs()` says what happened before."""

    code = "FN517"


class ModelPackage:
    """An image or a build context that is being made or was made. It is recorded in the workspace."""

    def __init__(self, workspace: Workspace, operation_id: str, environment: object = None) -> None:
        """The package of that id. Raises WebserviceException where the workspace has none."""
        self.workspace, self.package_id = workspace, operation_id
        self._folder = workspace.path / "packages" / operation_id
        self._thread: threading.Thread | None = None
        self._record = _Record()
        self.update_creation_state()

    @staticmethod
    def list(workspace: Workspace) -> Sequence[ModelPackage]:
        """The packages that the workspace has recorded, the newest first."""
        folders = (workspace.path / "packages").glob(f"*/{_FILE}")
        return [ModelPackage(workspace, file.parent.name) for file in sorted(folders, reverse=True)]

    @property
    def state(self) -> str:
        """NotStarted, Running, Succeeded or Failed."""
        return self._record.state

    @property
    def location(self) -> str:
        """What `docker run` takes: `registry/package@sha256:...`, or an image id; or the folder of the context."""
        return self._record.location

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self._record.error

    @property
    def generate_dockerfile(self) -> bool:
        """Whether it is a build context and no image."""
        return self._record.generate_dockerfile

    @property
    def package_build_log_uri(self) -> str:
        """The log's file."""
        return (self._folder / _LOG).as_uri()

    def wait_for_creation(self, show_output: bool = False) -> None:
        """Wait until the package is made; with `show_output` print what happens. Raises WebserviceException."""
        shown = 0
        while True:
            self.update_creation_state()
            if show_output:
                text = self.get_logs(offset=shown)
                print(text, end="", flush=True)
                shown += len(text.encode())
            if self.state in _FINAL:
                break
            time.sleep(0.05)
        if self._thread is not None:
            self._thread.join()
        if show_output:
            print(f"Package creation {self.state}")
        if self.state != "Succeeded":
            raise PackageFailed(
                f"Package creation {self.state}: {self.error}", hint="`get_logs()` has the build's output"
            )

    def update_creation_state(self) -> None:
        """Read the state again. A package whose process has ended without a result has failed."""
        alive = is_held(self._folder / _LOCK)  # before the record, which is written last
        record = _Record.read(self._folder)
        if record is None:
            raise WebserviceException(
                f"PackageNotFound: the workspace has no package `{self.package_id}`",
                hint="`ModelPackage.list(workspace)` shows what it has",
            )
        if record.state not in _FINAL and not alive:
            record = replace(
                record, state="Failed", error="the process that made it ended before it was done"
            )
            record.write(self._folder)
            _release(self.workspace, record.models, self.package_id)
        self._record = record

    def get_logs(self, decode: bool = True, offset: int = 0) -> str:
        """What the build has said, from a byte on; "" where it has said nothing."""
        try:
            return (self._folder / _LOG).read_bytes()[offset:].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def get_container_registry(self) -> ContainerRegistry:
        """The registry that the image was pushed to. Its login stays in docker's own store."""
        if self.generate_dockerfile:
            raise WebserviceException(
                "this package is a Dockerfile, which is in no registry", hint="use `save`"
            )
        self.wait_for_creation()
        registry, slash, _ = self.location.partition("/")
        return ContainerRegistry(registry if slash else None)

    def pull(self) -> None:
        """Bring the image into this machine's Docker Engine."""
        if self.generate_dockerfile:
            raise WebserviceException(
                "this package is a Dockerfile, which cannot be pulled", hint="use `save`"
            )
        self.wait_for_creation()
        if "/" not in self.location:
            print(f"{self.location} is in the Docker Engine")
            return
        from docker.errors import DockerException

        from fnpack.engine import Engine

        try:
            with Engine.connect() as engine:
                engine.client.images.pull(self.location)
        except DockerException as error:
            raise WebserviceException(
                f"{self.location} cannot be pulled: {error}",
                hint="`docker login` to its registry, then again",
            ) from error
        print(f"Pulled {self.location}")

    def save(self, output_directory: str) -> None:
        """Write Dockerfile and context to a folder, to read, keep and build by hand."""
        if not self.generate_dockerfile:
            raise WebserviceException(
                "this package is an image, which cannot be saved",
                hint="use `pull`, or generate_dockerfile=True",
            )
        target = Path(output_directory)
        if target.exists() and not target.is_dir():
            raise UserErrorException(f"{target} is a file", hint="give the path of a folder")
        self.wait_for_creation()
        shutil.copytree(self._folder / _CONTEXT, target, dirs_exist_ok=True)

    def delete(self) -> None:
        """Forget the package, so that its models can be deleted. An image in a registry or in the Engine stays."""
        if self._thread is not None:
            self._thread.join()
        _release(self.workspace, self._record.models, self.package_id)
        shutil.rmtree(self._folder, ignore_errors=True)

    def serialize(self) -> dict[str, object]:
        """State and place, under SDK v1's keys."""
        return {
            "generateDockerfile": self.generate_dockerfile,
            "state": self.state,
            "location": self.location,
        }

    def __repr__(self) -> str:
        return f"ModelPackage(id={self.package_id!r}, state={self.state!r}, location={self.location!r})"


@dataclass(frozen=True, slots=True)
class _Record:
    """What is known about a package, as its file has it."""

    state: str = "NotStarted"
    location: str = ""
    error: str | None = None
    generate_dockerfile: bool = False
    models: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> _Record | None:
        try:
            facts = json.loads((folder / _FILE).read_text("utf-8"))
            error = facts["error"]
            return cls(
                str(facts["state"]),
                str(facts["location"]),
                None if error is None else str(error),
                facts["generate_dockerfile"] is True,
                tuple(map(str, facts["models"])),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        facts = {
            "schema_version": 1,
            "state": self.state,
            "location": self.location,
            "error": self.error,
            "generate_dockerfile": self.generate_dockerfile,
            "models": list(self.models),
        }
        draft = folder / f".{_FILE}"
        draft.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
        draft.replace(folder / _FILE)


def start(
    workspace: Workspace,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None,
    flags: Mapping[str, Value | None],
    *,
    generate_dockerfile: bool = False,
    name: str | None = None,
    label: str | None = None,
) -> ModelPackage:
    """Check everything, then make the package in a thread. `flags` are a build's options by name.

    Without an `inference_config` the one model is served by the built-in script for it.

    Raises UserErrorException, WebserviceException for models that are not there, ConfigurationError for the rest.
    """
    package_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    folder = workspace.path / "packages" / package_id
    folder.mkdir(parents=True)
    registered: Sequence[Model] = ()
    try:
        registered, sources = model_sources(workspace, models)
        tag = f"{name or 'package'}:{label or package_id.lower()}"
        push_to = workspace.container_registry
        if not generate_dockerfile:
            full = tag if push_to is None else f"{push_to}/{tag}"
            flags = {**flags, "tag": full, "push": push_to is not None}
        login = inference_config.environment.docker.base_image_registry if inference_config else None
        config = inference_config._write(folder) if inference_config else None
        settings = build_settings(config, sources, flags, login)
        if settings.app.built_in:
            _log(folder, f"No entry script: the built-in one for {settings.app.built_in}")
        for note in settings.app.environment.notes:
            _log(folder, f"Note: {note}")
        record = _Record("Running", "", None, generate_dockerfile, tuple(model.id for model in registered))
        _use(workspace, registered, package_id)
        lock = hold(folder / _LOCK)
        record.write(folder)
    except BaseException:
        _release(workspace, [model.id for model in registered], package_id)
        shutil.rmtree(folder, ignore_errors=True)
        raise

    def work() -> building.Outcome:
        if generate_dockerfile:
            return building.build_context(settings, folder / _CONTEXT, _progress(folder))
        return building.build_image(settings, _progress(folder))

    made = ModelPackage(workspace, package_id)
    # Not a daemon: a script that ends without waiting still gets its package.
    made._thread = threading.Thread(
        target=_finish, args=(workspace, folder, record, work, lock), name=package_id
    )
    made._thread.start()
    return made


def _finish(
    workspace: Workspace, folder: Path, record: _Record, work: Callable[[], building.Outcome], lock: int
) -> None:
    try:
        outcome = work()
    except BaseException as error:
        # A thread's error has nowhere to go but into the record.
        reason = str(error) if isinstance(error, FnpackError) else f"{type(error).__name__}: {error}"
        hint = getattr(error, "hint", None)
        _log(folder, f"Error {getattr(error, 'code', '')}: {reason}" + (f"\nHint: {hint}" if hint else ""))
        _release(workspace, record.models, folder.name)
        replace(record, state="Failed", error=reason + (f" ({hint})" if hint else "")).write(folder)
    else:
        for line in outcome.functions:
            _log(folder, line)
        replace(record, state="Succeeded", location=outcome.location).write(folder)
    finally:
        os.close(lock)


def _use(workspace: Workspace, models: Sequence[Model], package_id: str) -> None:
    def used(old: ModelRecord) -> ModelRecord:
        return users_with(old, f"package:{package_id}", f"package {package_id} of workspace {workspace.name}")

    for model in models:
        workspace.registry.change(model.name, model.version, used)


def _release(workspace: Workspace, model_ids: Sequence[str], package_id: str) -> None:
    def released(old: ModelRecord) -> ModelRecord:
        return users_with(old, f"package:{package_id}", None)

    for model_id in model_ids:
        name, _, version = model_id.partition(":")
        with suppress(WebserviceException):  # deleted by force, or a registry that does not answer
            workspace.registry.change(name, int(version), released)


def _progress(folder: Path) -> Progress:
    def note(event: ProgressEvent) -> None:
        if event.status in ("done", "cached", "failed"):
            took = "" if event.duration_s is None else f" ({event.duration_s:.1f} s)"
            _log(folder, f"{event.step}: {event.status}{took}")
        elif event.status == "running" and event.detail:
            _log(folder, event.detail)

    return note


def _log(folder: Path, text: str) -> None:
    with (folder / _LOG).open("a", encoding="utf-8") as log:
        log.write(text.rstrip("\n") + "\n")
