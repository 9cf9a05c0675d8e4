"""Connects functions to the world: listeners, input and output bindings, made from what the app says."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fnpack_host.app.function_app import Function, FunctionApp
from fnpack_host.errors import BindingError, ConnectionSettingError, FnpackError
from fnpack_triggers.base import InputBinding, Listener, OutputBinding
from fnpack_triggers.registry import TriggerSite, create_input, create_listener, create_output

log = logging.getLogger("fnpack.host")


@dataclass(slots=True)
class Wiring:
    """What was made, by function name and then by binding name. `errors` says why a function has none."""

    listeners: dict[str, Listener] = field(default_factory=dict)
    inputs: dict[str, Mapping[str, InputBinding]] = field(default_factory=dict)
    outputs: dict[str, Mapping[str, OutputBinding]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    async def close(self) -> None:
        """Release the input and output bindings."""
        for kind in (self.inputs, self.outputs):
            for bindings in kind.values():
                for binding in bindings.values():
                    await binding.close()


def wire(app: FunctionApp, functions: Iterable[Function]) -> Wiring:
    """Make what `functions` need, no listener for disabled ones. One whose bindings cannot work gets its error.

    A missing connection setting of a function made by fnpack is raised (ConnectionSettingError): an image that
    scores nothing should not look well.
    """
    wiring = Wiring()
    for function in functions:
        try:
            _wire_one(app, function, wiring)
        except (BindingError, ConnectionSettingError) as error:  # noqa: PERF203 - the others still run
            if function.is_scoring and isinstance(error, ConnectionSettingError):
                raise
            wiring.errors[function.name] = _with_hint(error)
    return wiring


def _wire_one(app: FunctionApp, function: Function, wiring: Wiring) -> None:
    values = app.host_json
    triggers = tuple(f.trigger for f in app.functions if any(b.is_trigger for b in f.bindings))
    site = TriggerSite(
        function.name,
        app.host_id,
        app.settings,
        values.integer,
        values.seconds,
        values.text,
        triggers,
        values.flag,
    )
    inputs = {b.name: create_input(b, site) for b in function.inputs}
    outputs = {b.name: create_output(b, function.trigger, site) for b in function.outputs}
    if function.is_scoring and function.trigger.is_batch:
        raise BindingError(
            f"binding `{function.trigger.name}` asks for batches (`cardinality: many`), but an entry script scores one "
            "message at a time",
            hint="set `cardinality` to `one`; `maxConcurrentCalls` in host.json says how many run at once",
        )
    if not function.is_http and not function.is_disabled:
        wiring.listeners[function.name] = create_listener(function.trigger, site)
    wiring.inputs[function.name], wiring.outputs[function.name] = inputs, outputs


def _with_hint(error: FnpackError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)
