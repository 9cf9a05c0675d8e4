"""One run of `fnpack dev`: services, then the host, again after each change, until Ctrl-C; and nothing is left."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Protocol

from fnpack.dev.errors import DevError
from fnpack.dev.host_child import HostChild, Listening
from fnpack.dev.needs import Needs, needs_of
from fnpack.dev.ports import any_free, are_free
from fnpack.dev.services import ServiceOptions, Services, read_bus_config
from fnpack.dev.source import Source, source_of
from fnpack.dev.state import Running, StateFolder
from fnpack.dev.tips import Tips, sample_file
from fnpack.dev.watcher import Watcher
from fnpack.dev.wiring import DEVELOPMENT_STORAGE, Wired, wire
from fnpack_host.app.function_app import FunctionApp
from fnpack_host.settings import Settings
from fnpack_triggers.connections import DEFAULT_STORAGE_SETTING
from fnpack_triggers.errors import FnpackError
from fnpack_triggers.service_bus.connection import DEFAULT_SETTING as DEFAULT_BUS_SETTING

DEFAULT_PORT = 7071
_POLL_S = 0.2
INTERRUPTED = 130


class Voice(Protocol):
    """Where lines for a person go."""

    def say(self, text: str = "", *, style: str = "") -> None:
        """A line."""

    def warn(self, text: str) -> None:
        """A line that says what may surprise."""


@dataclass(frozen=True, slots=True)
class DevOptions:
    """How to run. `port` 0 takes any free one, None the usual one if it is free."""

    folder: Path
    state: Path
    services: ServiceOptions = field(default_factory=ServiceOptions)
    port: int | None = None
    is_reloading: bool = True
    is_state_usual: bool = True  # `state` is where other commands look by themselves
    log_as_json: bool = False
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """An app that was read: its directory, its functions, its settings, what it needs."""

    root: Path
    app: FunctionApp
    settings: Settings
    needs: Needs

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of services that it needs."""
        return ("storage",) * bool(self.needs.storage) + ("bus",) * bool(self.needs.bus)


class Stopping:
    """Turns SIGTERM into what Ctrl-C does, and remembers that it was one; a signal after `insist` ends at once."""

    def __init__(self) -> None:
        self._is_terminated = False
        # a shell that starts us in the background has SIGINT ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, self._terminate)

    @property
    def exit_code(self) -> int:
        """As a host's: 0 after SIGTERM, 130 after Ctrl-C."""
        return 0 if self._is_terminated else INTERRUPTED

    def insist(self) -> None:
        """From now on a signal ends this process at once; its children notice."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: os._exit(INTERRUPTED))

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._is_terminated = True
        raise KeyboardInterrupt


def run(options: DevOptions, voice: Voice, *, services_only: bool, on_started: Started) -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit code. `on_started` gets what runs, once it is known.

    Raises DevError and what else keeps services or the first start of the app from working.
    """
    stopping = Stopping()
    if not services_only:
        source_of(options.folder, options.state)  # what holds nothing to run is told before anything is made
    config = read_bus_config(options.services)
    folder, borrowed = _held(options, services_only=services_only)
    code = 0
    try:
        with Services(options.services, config, voice.say, borrowed) as services:
            session = Session(options, voice, folder, services, on_started)
            try:
                code = session.serve_services() if services_only else session.serve_app()
            except KeyboardInterrupt:
                code = stopping.exit_code
                stopping.insist()
                voice.say("stopping ...", style="dim")
            finally:
                session.close()
    finally:
        folder.release()
    voice.say("stopped", style="dim")
    return code


def _held(options: DevOptions, *, services_only: bool) -> tuple[StateFolder, Running | None]:
    """The state's folder, held by us; and the services that run there already, if an app may use them."""
    folder = StateFolder(options.state)
    if folder.hold():
        return folder, None
    found = folder.running()
    if found is not None and found.is_services_only and not services_only:
        own = folder.of_app(options.folder.absolute())
        if own.hold():
            return own, found
        found = own.running()
    who = f" (process {found.pid})" if found else ""
    raise DevError(
        f"`fnpack dev` is running here already{who}",
        hint="end that one, or name another folder with --state DIR; several apps can use the services of one "
        "`fnpack dev --services-only`",
    )


class Started(Protocol):
    """Is told what runs."""

    def __call__(self, running: Running, app: FunctionApp | None) -> None:
        """Take it."""


class Session:
    """The state of one run."""

    def __init__(
        self,
        options: DevOptions,
        voice: Voice,
        folder: StateFolder,
        services: Services,
        on_started: Started,
    ) -> None:
        self._options, self._voice, self._services = options, voice, services
        self._folder, self._on_started = folder, on_started
        self._host: HostChild | None = None
        self._spare: HostChild | None = None  # waits to be told what to run
        self._watcher: Watcher | None = None
        self._kinds: tuple[str, ...] = ()
        self._shown: list[str] = []
        self._port = 0

    def serve_services(self) -> int:
        """Start both services, tell, and wait for a signal."""
        storage, bus = self._services.storage(), self._services.bus()
        settings = {DEFAULT_STORAGE_SETTING: storage, DEFAULT_BUS_SETTING: bus}
        settings |= self._settings_of_app()
        running = Running(
            os.getpid(),
            storage,
            bus,
            self._services.control_url,
            settings,
        )
        self._tell(running, None)
        while True:
            time.sleep(_POLL_S)
            self._services.check()

    def _settings_of_app(self) -> Mapping[str, str]:
        """The settings of an app that is here, if one is, with what its bindings name created."""
        try:
            source = source_of(self._options.folder, self._app_target)
        except DevError:
            return {}
        try:
            found = self._read(source)
            wired = wire(found.needs, found.settings, self._services)
        except FnpackError as error:
            self._voice.warn(f"nothing is created for the app in {source.folder}: {error}")
            return {}
        self._show_created(wired)
        return wired.settings

    def serve_app(self) -> int:
        """Run the app, again after each change; returns where the host ends by itself and nothing is watched."""
        source = source_of(self._options.folder, self._app_target)
        since = time.time()
        self._port = self._choose_port()
        self._watch(source)  # before the app is read, so that no change is missed
        try:
            self._begin(source, since)
        except DevError:
            raise  # no edit of the app mends that
        except FnpackError as error:
            if not self._options.is_reloading:
                raise
            self._failed(error)
        if not self._options.is_reloading:
            return self._wait_for_host()
        self._follow(source)
        return 0

    def close(self) -> None:
        """Stop the host, which drains first."""
        if self._watcher is not None:
            self._watcher.stop()
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.stop()
        self._stop_host()

    # --- the app ---

    def _begin(self, source: Source, since: float) -> None:
        """Run the app as it is now; the host that runs an earlier state of it goes on if that cannot be.

        The new host imports its libraries while the app is read and services start.
        """
        if self._kinds:
            self._warm()
        found = self._read(source)
        self._kinds = found.kinds
        self._warm()
        wired = wire(found.needs, found.settings, self._services)
        self._stop_host()
        self._show(found, wired, source)
        environment = {
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            **os.environ,
            **found.settings,
            **wired.settings,
        }
        self._host, self._spare = self._spare, None
        if self._host is not None:
            self._host.run(found.root, environment, since)

    def _read(self, source: Source) -> Found:
        """Make the app where it has to be made, find out what functions it has and what they need."""
        root = source.prepare()
        # local.settings.json is never copied into an app that is made from a project
        settings = Settings.load(source.folder)
        app = _indexed(FunctionApp.load(root, settings))
        return Found(root, app, settings, needs_of(app))

    def _show(self, found: Found, wired: Wired, source: Source) -> None:
        """Say what was created, which settings the app gets, and what to type; nothing that was said before."""
        settings = [f"{name}={value}" for name, value in wired.settings.items()]
        options = "" if self._options.is_state_usual else f"--state {shlex.quote(str(self._options.state))}"
        tips = Tips(found.app, found.needs, wired, self._url, options, sample_file(source.folder))
        functions = [line for function in found.app.functions for line in tips.of(function)]
        if self._shown != [*settings, *functions]:
            self._shown = [*settings, *functions]
            self._show_created(wired)
            for line in settings:
                self._voice.say(line, style="dim")
            self._voice.say()
            for line in functions:
                self._voice.say(line, style="" if line.startswith(" ") else "bold")
            self._voice.say()
        running = Running(
            os.getpid(),
            self._services.storage_text,
            self._services.bus_text,
            self._services.control_url,
            dict(wired.settings),
            str(source.folder),
            str(found.root),
            self._url,
        )
        self._tell(running, found.app)

    def _show_created(self, wired: Wired) -> None:
        if wired.created:
            self._voice.say(f"created      {', '.join(str(entity) for entity in wired.created)}")
        for note in wired.notes:
            self._voice.warn(note)

    def _tell(self, running: Running, app: FunctionApp | None) -> None:
        self._folder.tell(running)
        self._on_started(running, app)

    def _failed(self, error: FnpackError) -> None:
        self._voice.say(f"Error {error.code}: {error}", style="red")
        if error.hint:
            self._voice.say(f"Hint: {error.hint}")
        is_hosting = self._host is not None and self._host.exit_code is None
        still = "the app runs as it was" if is_hosting else "nothing runs"
        self._voice.say(f"{still}; waiting for a change", style="dim")

    # --- the host ---

    def _warm(self) -> None:
        if self._spare is None or self._spare.exit_code is not None:
            options = self._options
            listening = Listening(self._port, options.log_as_json, options.verbose)
            self._spare = HostChild(listening, self._kinds)

    def _stop_host(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            host.stop()

    def _wait_for_host(self) -> int:
        code: int | None = None
        while code is None and self._host is not None:
            code = self._host.wait(_POLL_S)
            self._services.check()
        return code or 0

    # --- changes ---

    def _follow(self, source: Source) -> None:
        """Start again after each change that matters, for ever."""
        while self._watcher is not None:
            self._watch(source)
            changed = self._watcher.wait(_POLL_S)
            self._services.check()
            if changed:
                self._change(source, changed)
            elif self._host is not None and self._host.exit_code is not None:
                self._voice.say(
                    f"the host ended with code {self._host.exit_code}; waiting for a change", style="dim"
                )
                self._stop_host()

    def _watch(self, source: Source) -> None:
        """Watch what belongs to the app as it is now."""
        paths = tuple(source.watched)
        if self._watcher is not None and self._watcher.paths != paths:
            self._watcher.stop()
            self._watcher = None
        if self._watcher is None and self._options.is_reloading:
            self._watcher = Watcher(paths, source.matters)
            self._watcher.start()

    def _change(self, source: Source, changed: list[str]) -> None:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        self._voice.say(f"changed: {shown}; starting again", style="dim")
        try:
            self._begin(source, time.time())
        except FnpackError as error:
            self._failed(error)

    @property
    def _app_target(self) -> Path:
        return self._folder.path / "app"

    @property
    def _url(self) -> str:
        return f"http://localhost:{self._port}"

    def _choose_port(self) -> int:
        wanted = self._options.port
        if wanted == 0:
            return any_free()
        if wanted is None:
            return DEFAULT_PORT if are_free((DEFAULT_PORT,)) else any_free()
        if not are_free((wanted,)):
            raise DevError(
                f"the port {wanted} is not free",
                hint="choose another port with --port (0 takes any free one), or leave it out",
            )
        return wanted


def _indexed(app: FunctionApp) -> FunctionApp:
    """The app with its functions: those of a v2 app only a process that imports its code can tell."""
    if app.script is None:
        return app
    import asyncio

    from fnpack_host.indexing import indexed

    # code that reads the setting while it is imported finds one, though the storage may not run yet
    settings = Settings({DEFAULT_STORAGE_SETTING: DEVELOPMENT_STORAGE, **app.settings})
    return replace(asyncio.run(indexed(replace(app, settings=settings))), settings=app.settings)
