"""A local service on disk and as a process: its folder below the workspace, its host, its log.

Below `services/NAME/`: service.json (what it is made of), inferenceconfig.json (as it was last started), app/ (the
function app), host.log (what host and script say), pid and url of the host, and lock, which it holds while it lives.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fnpack.app.entry_script import check_entry_script
from fnpack.build import build_app
from fnpack.config.options import Value
from fnpack.exceptions import WebserviceException
from fnpack.models.record import ModelRecord
from fnpack.models.registry import users_with
from fnpack.sdk.inference_config import CONFIG, InferenceConfig, build_settings
from fnpack.sdk.liveness import hold, is_held
from fnpack.sdk.model import Model, model_sources
from fnpack.sdk.workspace import Workspace

_FILE, _LOG, _LOCK, _PID, _URL = "service.json", "host.log", "lock", "pid", "url"
_READY = re.compile(r"is ready on (http://\S+)")
_STOP_S, _KILL_S, _POLL_S = 40.0, 10.0, 0.02
_LOG_HEAD = 4 << 20  # bytes in which the host has said that it is ready
# What this process was told about a scoring container or a host of its own.
_NOT_INHERITED = (
    "AML_APP_ROOT",
    "AZUREML_",
    "FNPACK_PORT",
    "FNPACK_ADDRESS",
    "AzureFunctionsWebHost__hostid",
)
_children: dict[int, subprocess.Popen[bytes]] = {}


class WebserviceNotFound(WebserviceException):
    """The workspace has no service of that name; the text contains `WebserviceNotFound`."""

    code = "FN519"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"WebserviceNotFound: the workspace has no service `{name}`",
            hint="`workspace.webservices` shows what it has",
        )


class ServiceFailed(WebserviceException):
    """A service did not start, or not in time; the text has the end of its log."""

    code = "FN528"


class ScoringFailed(WebserviceException):
    """A service did not answer, or with another status than 200."""

    code = "FN529"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a service is made of. `models` are ids of registered models, and paths with `/` of others."""

    models: tuple[str, ...] = ()
    port: int | None = None


class Service:
    """The service `name` of a workspace, whether it is there or not."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace, self.name = workspace, name
        self._folder = workspace.path / "services" / name

    @staticmethod
    def names(workspace: Workspace) -> list[str]:
        """The services that there are."""
        return sorted(path.parent.name for path in (workspace.path / "services").glob(f"*/{_FILE}"))

    @property
    def exists(self) -> bool:
        """Whether it was created and not removed."""
        return (self._folder / _FILE).is_file()

    @property
    def facts(self) -> Facts:
        """What it is made of. Raises WebserviceNotFound."""
        try:
            data = json.loads((self._folder / _FILE).read_text("utf-8"))
            port = data["port"]
            return Facts(tuple(map(str, data["models"])), None if port is None else int(port))
        except (OSError, ValueError, KeyError, TypeError):
            raise WebserviceNotFound(self.name) from None

    @property
    def state(self) -> str:
        """Of SDK v1's states all but `deleted`."""
        if not self.exists:
            return "unknown"
        if not self._is_alive():
            return "failed"
        return "running" if self._url() else "deploying"

    @property
    def port(self) -> int | None:
        """The port that it listens on, or was told to."""
        url = self._url()
        return int(url.rpartition(":")[2]) if url else self.facts.port

    def create(self, models: Sequence[Model | str], config: InferenceConfig | None, port: int | None) -> None:
        """Make the service and start it; without a configuration with the built-in script for its one model."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._folder.mkdir()
        except FileExistsError:
            shutil.rmtree(self._folder)  # what a creation that was killed has left
            self._folder.mkdir()
        try:
            self._make(models, config, port)
        except BaseException:
            self.remove()
            raise
        self._start()

    def update(
        self, models: Sequence[Model | str] | None, config: InferenceConfig | None, port: int | None
    ) -> None:
        """Replace what is given; the rest stays."""
        facts = self.facts
        self._make(facts.models if models is None else models, config, self.port if port is None else port)
        self._stop()
        self._start()

    def reload(self) -> None:
        """Take the script as it is now."""
        self._make(self.facts.models, None, self.port)
        self._stop()
        self._start()

    def remove(self) -> None:
        """Stop it and remove all of it."""
        self._stop()
        with suppress(WebserviceNotFound):
            self._use(self.facts.models, ())
        shutil.rmtree(self._folder, ignore_errors=True)

    def wait(self, timeout_s: float | None) -> str:
        """Wait until it is ready; returns its address. Raises ServiceFailed."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            alive = self._is_alive()  # first: a host that ends right after it was ready has failed
            url = self._url()
            if not alive:
                raise ServiceFailed(
                    f"the service `{self.name}` did not start:\n{self.log(30)}",
                    hint="the last lines are its log; mend what they say and `reload()`",
                )
            if url:
                return url
            if deadline is not None and time.monotonic() > deadline:
                raise ServiceFailed(
                    f"the service `{self.name}` is not ready: polling exceeded timeout of {timeout_s} s"
                )
            time.sleep(_POLL_S)

    def score(self, data: str | bytes) -> object:
        """POST `data`; returns the parsed JSON or the text. Raises ScoringFailed."""
        url = self.wait(timeout_s=120)
        body = data.encode() if isinstance(data, str) else data
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{url}/score", data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request) as response:  # noqa: S310
                text: str = response.read().decode(errors="replace")
                is_text = response.headers.get_content_type() == "text/plain"
        except urllib.error.HTTPError as error:
            with error:
                content = error.read().decode(errors="replace")
                raise ScoringFailed(
                    f"Received bad response from service. Code: {error.code}\nHeaders: {dict(error.headers)}\n"
                    f"Content: {content}",
                    hint="`get_logs()` has the script's traceback",
                    status_code=error.code,
                ) from error
        except OSError as error:
            raise ScoringFailed(f"the service `{self.name}` does not answer: {error}") from error
        try:
            # A script's text stays text, whatever is in it: SDK v1 gave it encoded and decoded once.
            return text if is_text else json.loads(text)
        except ValueError:
            return text

    def log(self, num_lines: int) -> str:
        """The last lines of its log."""
        try:
            text = (self._folder / _LOG).read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "".join(text.splitlines(keepends=True)[-num_lines:]) if num_lines > 0 else ""

    def _make(self, models: Sequence[Model | str], config: InferenceConfig | None, port: int | None) -> None:
        """Write the app. Its packages are those of this Python, so nothing is resolved or installed."""
        registered, sources = model_sources(self.workspace, models)
        kept = self._folder / CONFIG
        file = config._write(self._folder) if config is not None else kept if kept.is_file() else None
        own_python = f"{sys.version_info.major}.{sys.version_info.minor}"
        flags: dict[str, Value | None] = {
            "trigger": ("http",),
            "auth_level": "anonymous",
            "host": "fnpack",
            "python_version": own_python,
        }
        settings = build_settings(file, sources, flags)
        check_entry_script(settings.app.entry_script)
        bare = settings.app.environment._replace(requirements=(), user_managed=True)
        build_app(settings._replace(app=settings.app._replace(environment=bare)), self._folder / "app")
        paths = [
            str(Path(model).absolute()) for model in models if isinstance(model, str) and Path(model).exists()
        ]
        ids = [model.id for model in registered]
        before = self.facts.models if self.exists else ()
        self._use(before, ids)
        draft = self._folder / f".{_FILE}"
        draft.write_text(json.dumps({"models": [*ids, *paths], "port": port}) + "\n", "utf-8")
        draft.replace(self._folder / _FILE)

    def _use(self, before: Sequence[str], now: Sequence[str]) -> None:
        """Say in the registry which models are used, and which are no longer."""
        key = f"service:{self._folder}"
        what = f"service {self.name} of workspace {self.workspace.name}"
        for model_id in dict.fromkeys([*now, *before]):
            name, colon, version = model_id.rpartition(":")
            if not colon or "/" in model_id:
                continue

            def used(old: ModelRecord, text: str | None = what if model_id in now else None) -> ModelRecord:
                return users_with(old, key, text)

            try:
                self.workspace.registry.change(name, int(version), used)
            except WebserviceException:
                if model_id in now:
                    raise

    def _start(self) -> None:
        for name in (_URL, _PID):
            (self._folder / name).unlink(missing_ok=True)
        try:
            lock = hold(self._folder / _LOCK)
        except BlockingIOError:
            raise WebserviceException(
                f"another process is starting the service `{self.name}`",
                hint="wait for it, or `delete()` the service",
            ) from None
        port = self.facts.port or 0
        # The shell notes its number and becomes the host: there is none that could not be ended.
        noted = ["/bin/sh", "-c", 'echo $$ > "$0"; exec "$@"', str(self._folder / _PID)]
        run = [sys.executable, "-m", "fnpack", "run", str(self._folder / "app"), "--port", str(port)]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
        try:
            with (self._folder / _LOG).open("wb") as log:
                # A session of its own: it goes on when the script or its terminal is closed.
                host = subprocess.Popen(
                    [*noted, *run],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(lock,),
                    cwd=self._folder,
                    env={**kept, "AzureFunctionsJobHost__extensions__http__routePrefix": ""},
                )
        finally:
            os.close(lock)
        _children[host.pid] = host

    def _stop(self) -> None:
        """End the host: it finishes the calls in flight, and is killed if that takes too long."""
        pid = self._pid()
        if pid is None:
            return
        for number, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _KILL_S)):
            deadline = time.monotonic() + patience_s
            if self._is_alive():
                with suppress(ProcessLookupError):
                    os.killpg(pid, number)
            while self._is_alive() and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        child = _children.pop(pid, None)
        if child is not None:
            child.wait(_KILL_S)

    def _pid(self) -> int | None:
        """The host's number, which a host that was only just started has yet to note; None where none was started."""
        deadline = time.monotonic() + _KILL_S
        while True:
            alive = self._is_alive()
            with suppress(OSError, ValueError):
                return int((self._folder / _PID).read_text("utf-8"))
            if not alive or time.monotonic() > deadline:
                return None
            time.sleep(_POLL_S)

    def _is_alive(self) -> bool:
        return is_held(self._folder / _LOCK)

    def _url(self) -> str | None:
        """The address that the host said, remembered in a file."""
        file = self._folder / _URL
        try:
            return file.read_text("utf-8")
        except FileNotFoundError:
            pass
        try:
            with (self._folder / _LOG).open("rb") as log:
                found = _READY.search(log.read(_LOG_HEAD).decode(errors="replace"))
        except FileNotFoundError:
            return None
        if found is None:
            return None
        draft = self._folder / f".{_URL}"
        draft.write_text(found[1], "utf-8")
        draft.replace(file)
        return found[1]
