"""Waits for what a function writes: a blob whose path can be known, or the next message in a queue or subscription."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fnpack.dev.needs import LOOK_SUBSCRIPTION, needs_of
from fnpack.invoke import FunctionFailed, NoAnswer, Output
from fnpack.messages.place import Place
from fnpack_host.app.function_app import Function, FunctionApp
from fnpack_triggers.base import Binding, Json
from fnpack_triggers.blob.pattern import parse_output_path
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import PatternError
from fnpack_triggers.expressions import Expression, Template, resolve_settings

if TYPE_CHECKING:
    from fnpack.messages.blobs import Blobs
    from fnpack.messages.service_bus import Bus, Watch
    from fnpack.messages.storage_queue import StorageQueue

_POLL_S = 0.2
_SEEN_AT_ONCE = 32  # all that can be seen of a storage queue


class Awaited(Protocol):
    """An output that is waited for. `where` names it for a person."""

    @property
    def where(self) -> str:
        """The place."""

    def look(self) -> Output | None:
        """What has been written there since this was made; None if nothing has."""


@contextmanager
def awaited(
    app: FunctionApp, function: Function, data: Mapping[str, Json], session: str | None = None
) -> Iterator[Awaited | None]:
    """The first output of the function that can be waited for, as it is now; None if there is none.

    `data` is what binding expressions may name. `session` is that of the input, which goes on to the output.
    """
    with ExitStack() as stack:
        yield next(_all(app, function, data, session, stack), None)


def wait(  # noqa: PLR0917 - the end of every call
    app: FunctionApp,
    function: Function,
    sent: str,
    output: Awaited | None,
    timeout_s: float,
    failure: Callable[[], str | None] = lambda: None,
    is_done: Callable[[], bool] = lambda: False,
) -> Output:
    """The output; nothing, once the input is done, of a function that has none to wait for.

    `sent` says what was done so far. `failure` says why the input will never be scored, `is_done` that it has been,
    where there is no output.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if output is not None and (found := output.look()) is not None:
            return found
        if reason := failure():
            raise FunctionFailed(
                f"function {function.name} has failed for good: {reason}",
                hint="the cause is in the host's log",
            )
        if is_done():
            return Output(b"", f"{sent} and is done; no output can be awaited")
        time.sleep(_POLL_S)
    what = f"no output came to {output.where}" if output is not None else "it was not taken from there"
    raise NoAnswer(
        f"{sent}, but {what} within {timeout_s:g} s",
        hint=f"is the host running (`fnpack dev {app.root}`), and does nothing else take the output? Its log says "
        "what became of the input",
    )


@contextmanager
def opened_bus(app: FunctionApp, binding: Binding) -> Iterator[Bus]:
    """The namespace of a binding."""
    from fnpack.messages.service_bus import Bus
    from fnpack_triggers.service_bus.connection import BusConnection

    with Bus(BusConnection.find(app.settings, binding.text("connection"))) as bus:
        yield bus


def _all(
    app: FunctionApp, function: Function, data: Mapping[str, Json], session: str | None, stack: ExitStack
) -> Iterator[Awaited]:
    for binding in function.outputs:
        try:
            match binding.type:
                case "blob":
                    yield from _blob(app, binding, data)
                case "queue":
                    yield _queue(app, binding, data)
                case "servicebus":
                    yield from _bus(app, binding, data, session, stack)
        except PatternError:  # only the host knows what the name will be  # noqa: PERF203
            continue


def _blob(app: FunctionApp, binding: Binding, data: Mapping[str, Json]) -> Iterator[Awaited]:
    from fnpack.messages.blobs import Blobs

    path = parse_output_path(resolve_settings(binding.text("path"), app.settings))
    if not any(isinstance(token, Expression) and token.is_builtin for token in path.template.tokens):
        blobs = Blobs(StorageConnection.find(app.settings, binding.text("connection")))
        place = Place("blob", *path.render(data))
        yield _BlobOutput(blobs, place, blobs.version(place))


def _queue(app: FunctionApp, binding: Binding, data: Mapping[str, Json]) -> Awaited:
    from fnpack.messages.storage_queue import StorageQueue

    place = Place("storage-queue", _name(app, binding, "queueName", data))
    queue = StorageQueue(StorageConnection.find(app.settings, binding.text("connection")), place)
    before = queue.peek(_SEEN_AT_ONCE) if queue.exists() else []
    return _QueueOutput(queue, place, frozenset(str(one.facts["id"]) for one in before))


def _bus(
    app: FunctionApp, binding: Binding, data: Mapping[str, Json], session: str | None, stack: ExitStack
) -> Iterator[Awaited]:
    """A queue; of a topic the subscription that `fnpack dev` makes for a person to look, where there is one."""
    from fnpack_triggers.service_bus.faults import EntityAbsent

    if binding.text("queueName"):
        place = Place("queue", _name(app, binding, "queueName", data))
    else:
        place = Place("topic", _name(app, binding, "topicName", data), LOOK_SUBSCRIPTION)
    bus = stack.enter_context(opened_bus(app, binding))
    try:
        watch = bus.watch(place, session=session if _has_sessions(app, place) else None)
        yield _BusOutput(stack.enter_context(watch), place)
    except EntityAbsent:
        if place.kind == "queue":
            raise


def _has_sessions(app: FunctionApp, place: Place) -> bool:
    """Whether a function of the app reads the queue by sessions; of others nothing is known."""
    entities = [one for found in needs_of(app).bus.values() for one in found]
    return any(
        one.has_sessions and one.name.lower() == place.name.lower() for one in entities if not one.topic
    )


def _name(app: FunctionApp, binding: Binding, key: str, data: Mapping[str, Json]) -> str:
    return Template.parse(resolve_settings(binding.text(key), app.settings)).render(data)


@dataclass(frozen=True, slots=True)
class _BlobOutput:
    blobs: Blobs
    place: Place
    before: str | None

    @property
    def where(self) -> str:
        return f"{self.place.name}/{self.place.rest}"

    def look(self) -> Output | None:
        if self.blobs.version(self.place) in (None, self.before):
            return None
        body = self.blobs.read(self.place)
        return None if body is None else Output(body, self.where)


@dataclass(frozen=True, slots=True)
class _QueueOutput:
    queue: StorageQueue
    place: Place
    before: frozenset[str]

    @property
    def where(self) -> str:
        return str(self.place)

    def look(self) -> Output | None:
        if not self.queue.exists():
            return None
        found = (one for one in self.queue.peek(_SEEN_AT_ONCE) if one.facts["id"] not in self.before)
        return next((Output(one.body, self.where) for one in found), None)


@dataclass(frozen=True, slots=True)
class _BusOutput:
    watch: Watch
    place: Place

    @property
    def where(self) -> str:
        return str(self.place)

    def look(self) -> Output | None:
        found = self.watch.new()
        return (
            Output(found[0].body, self.where, str(found[0].facts.get("content_type", ""))) if found else None
        )
