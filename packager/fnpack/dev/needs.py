"""What the functions of an app connect to, from their bindings: entities by connection setting. It starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from fnpack_host.app.function_app import Function, FunctionApp
from fnpack_triggers.base import Binding
from fnpack_triggers.connections import DEFAULT_STORAGE_SETTING
from fnpack_triggers.errors import FnpackError
from fnpack_triggers.expressions import resolve_settings
from fnpack_triggers.service_bus.connection import DEFAULT_SETTING as DEFAULT_BUS_SETTING
from fnpack_triggers.service_bus.entity import check_target, source_of

Kind = Literal["container", "storage queue", "queue", "topic", "subscription"]
# A topic that functions write to and none reads gets a subscription of this name, so that a person can look.
LOOK_SUBSCRIPTION = "fnpack-dev"


@dataclass(frozen=True, slots=True)
class Entity:
    """Something to create. `name` of a subscription is its own, `topic` that of its topic."""

    kind: Kind
    name: str
    topic: str = ""
    has_sessions: bool = False

    @property
    def is_of_storage(self) -> bool:
        """Whether it is in a storage account, and not in a Service Bus."""
        return self.kind in ("container", "storage queue")

    def __str__(self) -> str:
        return f"{self.kind} {f'{self.topic}/{self.name}' if self.topic else self.name}"


@dataclass(frozen=True, slots=True)
class Needs:
    """The connection settings that an app's bindings name, each with the entities behind it, in the app's order."""

    storage: dict[str, tuple[Entity, ...]]
    bus: dict[str, tuple[Entity, ...]]


def needs_of(app: FunctionApp) -> Needs:
    """What the functions that can run need. A name that holds an expression, or that cannot be read, is left out."""
    storage: dict[str, list[Entity]] = {}
    bus: dict[str, list[Entity]] = {}
    for function in app.functions:
        if not function.is_runnable:
            continue
        for binding in function.bindings:
            if binding.type in _STORAGE:
                setting, made = binding.text("connection") or DEFAULT_STORAGE_SETTING, storage
            elif binding.type in _BUS:
                setting, made = binding.text("connection") or DEFAULT_BUS_SETTING, bus
            else:
                continue
            made.setdefault(setting, []).extend(_entities(binding, app))
    return Needs(_frozen(storage), {name: _looked_at(found) for name, found in _frozen(bus).items()})


def trigger_of(function: Function) -> Binding | None:
    """The binding that starts a function, or None where none could be read."""
    return next((binding for binding in function.bindings if binding.is_trigger), None)


def resolved(binding: Binding, key: str, app: FunctionApp) -> str:
    """A property of a binding with its `%SETTING%` parts filled in. Raises PatternError."""
    return resolve_settings(binding.text(key), app.settings).strip()


def _entities(binding: Binding, app: FunctionApp) -> Iterator[Entity]:
    maker = (_STORAGE | _BUS)[binding.type]
    try:
        names = {
            key: resolved(binding, key, app) for key in ("path", "queueName", "topicName", "subscriptionName")
        }
        plain = Binding(
            binding.name,
            binding.type,
            binding.direction,
            {**binding.properties, **{key.lower(): value for key, value in names.items()}},
        )
        yield from (one for one in maker(plain) if one.name and "{" not in one.name + one.topic)
    except FnpackError:  # the host says what is wrong with the function
        return


def _container(binding: Binding) -> Iterator[Entity]:
    yield Entity("container", binding.text("path").partition("/")[0])


def _storage_queue(binding: Binding) -> Iterator[Entity]:
    yield Entity("storage queue", binding.text("queueName").lower())


def _nothing(binding: Binding) -> Iterator[Entity]:
    yield from ()


def _source(binding: Binding) -> Iterator[Entity]:
    entity = source_of(binding)
    has_sessions = str(binding.properties.get("issessionsenabled", "")).lower() == "true"
    if entity.subscription:
        yield Entity("subscription", entity.subscription, entity.name, has_sessions)
    else:
        yield Entity("queue", entity.name, has_sessions=has_sessions)


def _target(binding: Binding) -> Iterator[Entity]:
    name, is_topic = check_target(binding)
    yield Entity("topic" if is_topic else "queue", name)


_Maker = Callable[[Binding], Iterator[Entity]]
_STORAGE: dict[str, _Maker] = {
    "blobtrigger": _container,
    "blob": _container,
    "queuetrigger": _storage_queue,
    "queue": _storage_queue,
    "timertrigger": _nothing,  # its state is in AzureWebJobsStorage
}
_BUS: dict[str, _Maker] = {"servicebustrigger": _source, "servicebus": _target}


def _frozen(found: dict[str, list[Entity]]) -> dict[str, tuple[Entity, ...]]:
    """Each entity once; the one with sessions where an output and a trigger name the same queue."""
    frozen = {}
    for setting, entities in found.items():
        best: dict[tuple[str, str, str], Entity] = {}
        for one in entities:
            key = (one.kind, one.topic.lower(), one.name.lower())
            if key not in best or one.has_sessions:
                best[key] = one
        frozen[setting] = tuple(best.values())
    return frozen


def _looked_at(entities: tuple[Entity, ...]) -> tuple[Entity, ...]:
    read = {one.topic.lower() for one in entities if one.kind == "subscription"}
    unread = [one.name for one in entities if one.kind == "topic" and one.name.lower() not in read]
    return (*entities, *(Entity("subscription", LOOK_SUBSCRIPTION, topic) for topic in unread))
