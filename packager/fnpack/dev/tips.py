"""What a person may type next, for each function of a running app: exact commands, from its bindings."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fnpack.dev.needs import LOOK_SUBSCRIPTION, Needs, resolved, trigger_of
from fnpack.dev.wiring import Wired
from fnpack_host.app.function_app import Function, FunctionApp
from fnpack_host.run import describe
from fnpack_triggers.base import Binding
from fnpack_triggers.blob.pattern import parse_output_path, parse_trigger_path
from fnpack_triggers.connections import DEFAULT_STORAGE_SETTING
from fnpack_triggers.errors import FnpackError
from fnpack_triggers.service_bus.connection import DEFAULT_SETTING as DEFAULT_BUS_SETTING
from fnpack_triggers.service_bus.entity import source_of

_SAMPLES = ("sample_input.json", "sample-request.json", "sample.json")
_SAMPLE_NAME = "sample"
_TEXT = "'{\"data\": [1, 2]}'"


@dataclass(frozen=True, slots=True)
class Tips:
    """Makes the commands. `options` go behind each of ours (`--state DIR`), `sample` is a file to send, if any."""

    app: FunctionApp
    needs: Needs
    wired: Wired
    base_url: str
    options: str = ""
    sample: Path | None = None

    def of(self, function: Function) -> list[str]:
        """What the function is, in a line, and below it what to type; only that where nothing can be said."""
        prefix = self.app.host_json.text("extensions.http.routePrefix", "api")
        lines = [describe(function, self.base_url, prefix)]
        trigger = trigger_of(function)
        if not function.is_runnable or trigger is None:
            return lines
        try:
            commands = [*self._start(function, trigger, prefix), *self._look(function, trigger)]
        except FnpackError:  # an expression that only the host can read
            return lines
        return [*lines, *(f"    {command}" for command in dict.fromkeys(commands))]

    def _start(self, function: Function, trigger: Binding, prefix: str) -> Iterable[str]:
        """How to start the function."""
        match trigger.type:
            case "httptrigger":
                yield self._curl(function, trigger, prefix)
            case "blobtrigger":
                yield self._ours("send", f"blob:{self._sample_blob(trigger)}", self._input(), trigger)
            case "queuetrigger":
                name = resolved(trigger, "queueName", self.app).lower()
                yield self._ours("send", f"storage-queue:{name}", self._input(), trigger)
            case "servicebustrigger":
                entity = source_of(self._resolved(trigger))
                session = (
                    " --session one"
                    if str(trigger.properties.get("issessionsenabled")).lower() == "true"
                    else ""
                )
                target = f"topic:{entity.name}" if entity.is_topic else f"queue:{entity.name}"
                yield self._ours("send", target, f"{self._input()}{session}", trigger)
                whole = f"{target}/{entity.subscription}" if entity.subscription else target
                yield self._ours("peek", whole, "--dead-letter", trigger) + "  # what failed for good"
            case "timertrigger":
                url = f"{self.base_url}/admin/functions/{function.name}"
                yield f"curl {url} -H 'content-type: application/json' -d '{{}}'"

    def _look(self, function: Function, trigger: Binding) -> Iterable[str]:
        """How to see what it wrote."""
        for binding in function.outputs:
            match binding.type:
                case "blob":
                    yield self._ours("peek", f"blob:{self._output_blob(binding, trigger)}", "", binding)
                case "queue":
                    name = resolved(binding, "queueName", self.app).lower()
                    yield from self._receive(f"storage-queue:{name}", binding)
                case "servicebus" if binding.text("queueName"):
                    yield from self._receive(f"queue:{resolved(binding, 'queueName', self.app)}", binding)
                case "servicebus":
                    topic = resolved(binding, "topicName", self.app)
                    yield from self._receive(f"topic:{topic}/{self._subscription(topic)}", binding)

    def _receive(self, source: str, binding: Binding) -> Iterable[str]:
        if "{" not in source:
            yield self._ours("receive", source, "", binding)

    def _curl(self, function: Function, trigger: Binding, prefix: str) -> str:
        route = trigger.text("route") or function.name
        url = "/".join(part.strip("/") for part in (self.base_url, prefix, route) if part.strip("/"))
        methods = trigger.properties.get("methods")
        names = [str(method).upper() for method in methods] if isinstance(methods, list) else ["GET", "POST"]
        body = f" -d @{shlex.quote(str(self.sample))}" if self.sample else f" -d {_TEXT}"
        if "POST" in names:
            return f"curl {shlex.quote(url)}{body}"
        return f"curl {shlex.quote(url)}" + ("" if "GET" in names or not names else f" -X {names[0]}{body}")

    def _sample_blob(self, trigger: Binding) -> str:
        """The path of a blob that the trigger takes."""
        pattern = parse_trigger_path(resolved(trigger, "path", self.app))
        name = _SAMPLE_NAME.join(pattern.literals) if pattern.captures else pattern.prefix or _SAMPLE_NAME
        return f"{pattern.container}/{name}"

    def _output_blob(self, binding: Binding, trigger: Binding) -> str:
        """The path of the output for the sample blob; only the container where nobody can know it before."""
        path = resolved(binding, "path", self.app)
        container = path.partition("/")[0]
        if trigger.type != "blobtrigger":
            return container
        sample = self._sample_blob(trigger)
        captured = parse_trigger_path(resolved(trigger, "path", self.app)).match(sample.partition("/")[2])
        output = parse_output_path(path)
        known = {name.lower() for name in captured or {}}
        is_random = any(mark in path.lower() for mark in ("rand-guid", "datetime", "sys."))
        if not is_random and {name.lower() for name in output.template.names} <= known:
            return "/".join(output.render(captured or {}))
        return container

    def _subscription(self, topic: str) -> str:
        """A subscription from which a person may take what goes to the topic."""
        entities = [one for found in self.needs.bus.values() for one in found]
        names = [one.name for one in entities if one.topic.lower() == topic.lower()]
        return names[0] if names else LOOK_SUBSCRIPTION

    def _input(self) -> str:
        return f"--file {shlex.quote(str(self.sample))}" if self.sample else f"--data {_TEXT}"

    def _ours(self, command: str, place: str, options: str, binding: Binding) -> str:
        """A command of ours, with the connection where it is not the one that it finds by itself."""
        default = DEFAULT_BUS_SETTING if binding.type.startswith("servicebus") else DEFAULT_STORAGE_SETTING
        setting = binding.text("connection") or default
        external = f"--connection {setting}" if setting in self.wired.external else ""
        words = ("fnpack", command, shlex.quote(place), options, external, self.options)
        return " ".join(word for word in words if word)

    def _resolved(self, binding: Binding) -> Binding:
        keys = ("queueName", "topicName", "subscriptionName")
        names = {key.lower(): resolved(binding, key, self.app) for key in keys}
        return Binding(binding.name, binding.type, binding.direction, {**binding.properties, **names})


def sample_file(folder: Path) -> Path | None:
    """A file to send, if the folder has one under a usual name; relative to where the person is."""
    from fnpack.config.files import label

    found = next((folder / name for name in _SAMPLES if (folder / name).is_file()), None)
    return Path(label(found)) if found is not None else None
