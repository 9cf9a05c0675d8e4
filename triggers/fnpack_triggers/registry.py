"""Which trigger and output kinds there are: one line adds one. The host makes listeners and outputs here only."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fnpack_triggers.base import Binding, InputBinding, Listener, OutputBinding
from fnpack_triggers.connections import StorageConnection, is_given
from fnpack_triggers.errors import BindingError

STATE_CONNECTION = "AzureWebJobsStorage"
STORAGE_TRIGGERS = ("blobtrigger", "queuetrigger")
LISTENERS = {
    "blobtrigger": "fnpack_triggers.blob.factory:create_listener",
    "queuetrigger": "fnpack_triggers.queue.factory:create_listener",
    "servicebustrigger": "fnpack_triggers.service_bus.factory:create_listener",
    "timertrigger": "fnpack_triggers.timer.factory:create_listener",
}
OUTPUTS = {
    "blob": "fnpack_triggers.blob.factory:create_output",
    "queue": "fnpack_triggers.queue.factory:create_output",
    "servicebus": "fnpack_triggers.service_bus.factory:create_output",
}
INPUTS = {"blob": "fnpack_triggers.blob.factory:create_input"}


@dataclass(frozen=True, slots=True)
class TriggerSite:
    """Where a trigger lives: its function, the app's id and settings, and the values of host.json by key.

    Each getter raises when host.json holds a value of another kind.
    """

    function: str
    host_id: str
    settings: Mapping[str, str]
    whole_number: Callable[[str, int, int], int]  # (key, default, minimum) -> value
    # (key, default) -> a time span in seconds; None is without bound
    seconds: Callable[[str, float | None], float | None] = lambda _, default: default
    text: Callable[[str, str], str] = lambda _, default: default  # (key, default) -> value
    # of the whole app: where state lives when AzureWebJobsStorage is not set
    triggers: tuple[Binding, ...] = ()
    flag: Callable[[str, bool], bool] = lambda _, default: default  # (key, default) -> value


def create_listener(binding: Binding, site: TriggerSite) -> Listener:
    """The listener of a trigger binding. Raises BindingError or ConnectionSettingError."""
    listener: Listener = _factory(LISTENERS, binding)(binding, site)
    return listener


def create_output(binding: Binding, trigger: Binding, site: TriggerSite) -> OutputBinding:
    """The writer of an output binding of a function started by `trigger`."""
    output: OutputBinding = _factory(OUTPUTS, binding)(binding, trigger, site)
    return output


def create_input(binding: Binding, site: TriggerSite) -> InputBinding:
    """The reader of an input binding."""
    found: InputBinding = _factory(INPUTS, binding)(binding, site)
    return found


def state_connection(settings: Mapping[str, str], triggers: Iterable[Binding]) -> StorageConnection | None:
    """Where the host keeps its own state: `AzureWebJobsStorage`, else a storage trigger's account, else None."""
    if is_given(settings, STATE_CONNECTION):
        return StorageConnection.find(settings, STATE_CONNECTION).with_blobs()
    names = (binding.text("connection") for binding in triggers if binding.type in STORAGE_TRIGGERS)
    found = (StorageConnection.find(settings, name) for name in names)
    return next((one for one in found if one.has_blobs), None)


def _factory(registry: Mapping[str, str], binding: Binding) -> Callable[..., Any]:
    where = registry.get(binding.type)
    if where is None:
        raise BindingError(
            f"binding `{binding.name}` is a {binding.type}: no such binding type is known here"
        )
    module, _, name = where.partition(":")
    factory: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return factory
