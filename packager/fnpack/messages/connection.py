"""Finds the connection for a message or a blob: the one named, else the running `fnpack dev`, else a setting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fnpack.dev.state import Running, find_running
from fnpack.messages.errors import NoConnection
from fnpack_host.app.host_json import HostJson
from fnpack_host.errors import HostStartError
from fnpack_host.settings import Settings
from fnpack_triggers.connections import DEFAULT_STORAGE_SETTING, StorageConnection, is_given
from fnpack_triggers.errors import FnpackError
from fnpack_triggers.sections import find_section
from fnpack_triggers.service_bus.connection import DEFAULT_SETTING as DEFAULT_BUS_SETTING
from fnpack_triggers.service_bus.connection import BusConnection

_COMMON = "TriggerConnectionString"
_STORAGE_SETTINGS = (DEFAULT_STORAGE_SETTING, _COMMON)
_BUS_SETTINGS = (DEFAULT_BUS_SETTING, "ServiceBusConnection", _COMMON)
_GIVEN = "--connection"


class Connections:
    """What is at hand in the current folder. `given` is a setting's name or a connection string."""

    def __init__(self, given: str | None = None, state: Path | None = None) -> None:
        self._given = given
        self.running: Running | None = find_running(state)
        self._settings: Mapping[str, str] = _local_settings(self.running)

    def storage(self) -> StorageConnection:
        """The storage account. Raises NoConnection, or ConnectionSettingError for one that is malformed."""
        if self._given is not None:
            if "=" in self._given:
                return StorageConnection.parse(_GIVEN, self._given)
            return StorageConnection.find(self._settings, self._given)
        if self.running is not None and self.running.storage:
            return StorageConnection.parse("fnpack dev", self.running.storage)
        for name in _STORAGE_SETTINGS:
            if is_given(self._settings, name) and not self._is_bus(name):
                return StorageConnection.find(self._settings, name)
        raise self._missing("storage account", _STORAGE_SETTINGS)

    def bus(self) -> BusConnection:
        """The Service Bus namespace. Raises NoConnection, or ConnectionSettingError for one that is malformed."""
        if self._given is not None:
            if "=" in self._given:
                return BusConnection.parse(_GIVEN, self._given)
            return BusConnection.find(self._settings, self._given)
        if self.running is not None and self.running.bus:
            return BusConnection.parse("fnpack dev", self.running.bus)
        for name in _BUS_SETTINGS:
            if is_given(self._settings, name) and self._is_bus(name):
                return BusConnection.find(self._settings, name)
        raise self._missing("Service Bus", _BUS_SETTINGS)

    def is_base64(self) -> bool:
        """How messages are written into storage queues: as the running app reads them, else as Azure's host does."""
        if self.running is None or not self.running.app:
            return True
        try:
            host = HostJson.load(Path(self.running.app), {})
            return host.text("extensions.queues.messageEncoding", "base64").lower() != "none"
        except FnpackError:
            return True

    def _is_bus(self, name: str) -> bool:
        """Whether a setting's value is of a Service Bus: one name may stand for either."""
        return "endpoint=sb:" in find_section(self._settings, name).value.lower()

    def _missing(self, what: str, names: tuple[str, ...]) -> NoConnection:
        here = (
            "the `fnpack dev` here has started none"
            if self.running
            else "no `fnpack dev` runs here or in a folder above"
        )
        return NoConnection(
            f"there is no connection to a {what}: {here}, and none of {', '.join(names)} is set",
            hint="start `fnpack dev` in this folder, or name a setting (or a connection string) with --connection",
        )


def _local_settings(running: Running | None) -> Mapping[str, str]:
    """The environment, with local.settings.json of this folder behind it; and what a running `fnpack dev` has set."""
    try:
        settings = Settings.load(Path())
    except HostStartError as error:  # no host was to start here
        raise NoConnection(str(error), hint=error.hint) from error
    return Settings({**settings, **(running.settings if running is not None else {})})
