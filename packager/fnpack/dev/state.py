"""The folder in which `fnpack dev` keeps data, and the file that tells other commands what runs.

Only what `fnpack dev` itself started is written there: no connection string that the user has set.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO

from fnpack.dev.errors import DevError

DEFAULT_FOLDER = Path(".fnpack") / "dev"
_APPS = "apps"  # below the state of services alone: the states of the apps that use them
_RUNNING, _LOCK = "running.json", "lock"
_LOCK_PATIENCE_S = 1.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Running:
    """A `fnpack dev` that runs: its services by connection string ("" for one that it did not start), and its app.

    `settings` are the app settings that stand for those services. `control` is where the Service Bus is asked for new
    entities. `source` is the folder that was given, `app` the app directory that runs; both are empty where services
    alone run.
    """

    pid: int
    storage: str = ""
    bus: str = ""
    control: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    source: str = ""
    app: str = ""
    url: str = ""

    @property
    def is_services_only(self) -> bool:
        """Whether it serves other tools and runs no app."""
        return not self.source


class StateFolder:
    """The folder, held by one process at a time; a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def hold(self) -> bool:
        """Take the folder for this process; False if another holds it. Raises DevError where it cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / ".gitignore").write_text("*\n")  # nothing here belongs into a repository
            lock = (self.path / _LOCK).open("a")
        except OSError as error:
            raise DevError(
                f"the folder {self.path} cannot be used: {error.strerror}",
                hint="name another one with --state DIR, or keep no data with --no-state",
            ) from error
        deadline = (
            time.monotonic() + _LOCK_PATIENCE_S
        )  # a command that looks whether anybody runs holds it for moments
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # noqa: PERF203 - for a second at most
                if time.monotonic() >= deadline:
                    lock.close()
                    return False
                time.sleep(_POLL_S)
            else:
                self._lock = lock
                (self.path / _RUNNING).unlink(missing_ok=True)
                return True

    def of_app(self, source: Path) -> StateFolder:
        """The folder of an app that uses the services that run here."""
        digest = hashlib.sha256(str(source).encode()).hexdigest()[:8]
        return StateFolder(self.path / _APPS / f"{source.name}-{digest}")

    def tell(self, running: Running) -> None:
        """Write what runs, readable by this user alone."""
        draft = self.path / f"{_RUNNING}.new"
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(running), file)
        draft.replace(self.path / _RUNNING)

    def release(self) -> None:
        """Let the folder go."""
        if self._lock is not None:
            (self.path / _RUNNING).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def running(self) -> Running | None:
        """What runs in this folder, if anything does. Never what another user wrote."""
        try:
            if self.path.stat().st_uid != os.getuid():
                return None
            with (self.path / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None  # nobody holds it
        except BlockingIOError:
            return self._read()
        except OSError:
            return None

    def _read(self) -> Running | None:
        try:
            facts = json.loads((self.path / _RUNNING).read_text("utf-8"))
            return Running(**{one.name: facts[one.name] for one in fields(Running)})
        except (OSError, ValueError, KeyError):  # it is still starting
            return None


def find_running(folder: Path | None = None) -> Running | None:
    """The `fnpack dev` that keeps its state in `folder`; without one, in `.fnpack/dev` here or in a folder above."""
    found = (place.running() for place in _places(folder))
    return next((one for one in found if one is not None), None)


def find_app(source: Path, folder: Path | None = None) -> Running | None:
    """The `fnpack dev` that runs the app or project `source`; looked for as in `find_running`."""
    for place in _places(folder):
        for one in (place.running(), place.of_app(source.absolute()).running()):
            if one is not None and one.source == str(source.absolute()):
                return one
    return None


def _places(folder: Path | None) -> list[StateFolder]:
    if folder is not None:
        return [StateFolder(folder)]
    here = Path.cwd()
    return [StateFolder(place / DEFAULT_FOLDER) for place in (here, *here.parents)]
