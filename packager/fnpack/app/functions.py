"""A trigger's function: its name, its bindings and its `__init__.py`. It writes no files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Template
from typing import NamedTuple

from fnpack.app.entry_script import EntryScript
from fnpack.spec import (
    BlobTrigger,
    HttpTrigger,
    Output,
    ServiceBusQueueTrigger,
    ServiceBusTopicTrigger,
    Trigger,
)
from fnpack.templates import template as read_template
from fnpack_triggers.errors import FnpackError

GENERATED_BY = "fnpack-scoring-1"
Binding = dict[str, "str | list[str]"]

_FUNCTION_NAMES = {
    HttpTrigger: "score",
    BlobTrigger: "score-blob",
    ServiceBusQueueTrigger: "score-queue",
    ServiceBusTopicTrigger: "score-topic",
}
_OUTPUTS = {  # kind -> binding type, the property that holds the target
    "blob": ("blob", "path"),
    "queue": ("queue", "queueName"),
    "service_bus_queue": ("serviceBus", "queueName"),
    "service_bus_topic": ("serviceBus", "topicName"),
}
OUTPUT_KINDS = tuple(_OUTPUTS)
_AUTH_LEVELS = ("anonymous", "function", "admin")
_SETTING_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_.:-]*$")


class FunctionDefinitionError(FnpackError):
    """A trigger cannot become a function; the text names the function and the property."""

    code = "FN334"


class Function(NamedTuple):
    """One function of the app. `where` tells a person how to reach it; `settings` are what it needs at run time."""

    name: str
    trigger: str  # "http", "blob", "service_bus_queue" or "service_bus_topic"
    where: str
    settings: tuple[str, ...]
    bindings: tuple[Binding, ...]
    source: str  # the text of `__init__.py`

    def __repr__(self) -> str:
        return f"Function({self.name!r}, {self.trigger!r}, {self.where!r})"  # without the contents of files

    def definition(self) -> Mapping[str, object]:
        """The content of function.json."""
        return {
            "scriptFile": "__init__.py",
            "entryPoint": "main",
            "generatedBy": GENERATED_BY,
            "bindings": list(self.bindings),
        }


def functions(
    triggers: Sequence[Trigger], script: EntryScript, outputs: Sequence[Output] = ()
) -> tuple[Function, ...]:
    """One function for each trigger, each with `outputs`; `script` decides between the plain and the async form."""
    if not triggers:
        raise FunctionDefinitionError(
            "the app has no trigger", hint="name one: http, blob, service_bus_queue, ..."
        )
    built = tuple(_with_outputs(_function(trigger, script), outputs) for trigger in triggers)
    names = [function.name for function in built]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FunctionDefinitionError(
            f"two triggers of one kind would both become the function `{twice[0]}`",
            hint="an app has one function for each kind of trigger; build a second app for the other",
        )
    return built


def _function(trigger: Trigger, script: EntryScript) -> Function:
    name = _FUNCTION_NAMES[type(trigger)]
    match trigger:
        case HttpTrigger(auth_level=level):
            if level not in _AUTH_LEVELS:
                raise FunctionDefinitionError(
                    f"function `{name}`: the auth level `{level}` is unknown",
                    hint=f"use {', '.join(_AUTH_LEVELS)}",
                )
            values = {"url": f"/api/{name}"}
            where, settings = f"GET, POST /api/{name} ({level} key)", ()
            if level == "anonymous":
                where = f"GET, POST /api/{name} (no key)"
            return Function(
                name, "http", where, settings, _http_bindings(level), _source("http", script, values)
            )
        case BlobTrigger(input_path=given, output_path=out, connection=connection):
            _check(name, {"input path": given, "output path": out}, connection)
            values = {"input": given, "output": out}
            bindings = _event_bindings("blobTrigger", "blob", {"path": given}, {"path": out}, connection)
            return Function(
                name, "blob", f"{given} -> {out}", (connection,), bindings, _source("blob", script, values)
            )
        case ServiceBusQueueTrigger(input_queue=queue):
            source = {"queueName": queue}
            return _service_bus(trigger, script, "service_bus_queue", source, f"queue {queue}")
        case ServiceBusTopicTrigger(input_topic=topic, input_subscription=subscription):
            source = {"topicName": topic, "subscriptionName": subscription}
            text = f"topic {topic}, subscription {subscription}"
            return _service_bus(trigger, script, "service_bus_topic", source, text)


def _with_outputs(function: Function, outputs: Sequence[Output]) -> Function:
    """The function with further output bindings: in function.json, and as parameters in its source."""
    bindings = list(function.bindings)
    for output in outputs:
        kind, target = _OUTPUTS[output.kind]
        _check(function.name, {f"output `{output.name}`": output.target}, output.connection)
        bindings.append(
            {
                "type": kind,
                "direction": "out",
                "name": output.name,
                target: output.target,
                "connection": output.connection,
            }
        )
    values = {
        "parameters": "".join(f", {output.name}: func.Out[bytes]" for output in outputs),
        "arguments": "".join(f", {output.name}={output.name}" for output in outputs),
    }
    return function._replace(
        bindings=tuple(bindings),
        settings=tuple(dict.fromkeys([*function.settings, *(output.connection for output in outputs)])),
        source=Template(function.source).substitute(values),
    )


def _service_bus(
    trigger: ServiceBusQueueTrigger | ServiceBusTopicTrigger,
    script: EntryScript,
    kind: str,
    source: Mapping[str, str],
    source_text: str,
) -> Function:
    name, connection = _FUNCTION_NAMES[type(trigger)], trigger.connection
    queue, topic = trigger.output_queue, trigger.output_topic
    if (queue is None) == (topic is None):
        raise FunctionDefinitionError(
            f"function `{name}`: the result goes to either an output queue or an output topic",
            hint="give exactly one of the two",
        )
    target = {"queueName": queue} if queue is not None else {"topicName": topic or ""}
    target_text = f"queue {queue}" if queue is not None else f"topic {topic}"
    _check(name, {**source, **{f"output {key}": value for key, value in target.items()}}, connection)
    bindings = _event_bindings("serviceBusTrigger", "serviceBus", source, target, connection)
    text = _source("service_bus", script, {"input": source_text, "output": target_text})
    return Function(name, kind, f"{source_text} -> {target_text}", (connection,), bindings, text)


def _http_bindings(level: str) -> tuple[Binding, ...]:
    trigger: Binding = {
        "type": "httpTrigger",
        "direction": "in",
        "name": "req",
        "authLevel": level,
        "methods": ["get", "post"],
    }
    return trigger, {"type": "http", "direction": "out", "name": "$return"}


def _event_bindings(
    trigger: str, output: str, source: Mapping[str, str], target: Mapping[str, str], connection: str
) -> tuple[Binding, ...]:
    into: Binding = {"type": trigger, "direction": "in", "name": "event", **source, "connection": connection}
    out: Binding = {"type": output, "direction": "out", "name": "output", **target, "connection": connection}
    return {**into, "dataType": "binary"}, out


def _check(name: str, values: Mapping[str, str], connection: str) -> None:
    for key, value in values.items():
        if not value or not value.isprintable():
            problem = "holds a control character" if value else "is empty"
            raise FunctionDefinitionError(
                f"function `{name}`: the {key} {problem}", hint="give its name as plain text"
            )
    if not _SETTING_NAME.match(connection):
        raise FunctionDefinitionError(
            f"function `{name}`: the connection is not the name of a setting",
            hint="give the name of the setting that holds the connection string, never the string itself",
        )


def _source(kind: str, script: EntryScript, values: Mapping[str, str]) -> str:
    """The function's `__init__.py`, made from the template for its kind."""
    template = f"{kind}_async.py.txt" if script.is_async else f"{kind}.py.txt"
    text = read_template("app", template)
    # Names stand in a docstring: a quote or a backslash must not end it.
    # A dollar sign stays one for the parameters, which are put in afterwards.
    quoted = {
        key: value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
        for key, value in values.items()
    }
    return Template(text).safe_substitute(quoted)
