"""Where messages and blobs are, as a person writes it: `queue:in`, `topic:t/sub`, `storage-queue:q`, `blob:c/name`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fnpack.config.suggest import did_you_mean
from fnpack.messages.errors import PlaceError

Kind = Literal["queue", "topic", "storage-queue", "blob"]
KINDS: tuple[Kind, ...] = ("queue", "topic", "storage-queue", "blob")
_HINT = "write queue:NAME, topic:NAME/SUBSCRIPTION, storage-queue:NAME or blob:CONTAINER/NAME"


@dataclass(frozen=True, slots=True)
class Place:
    """A Service Bus queue or topic, a storage queue, or a blob container. `rest` is a subscription or a blob's name."""

    kind: Kind
    name: str
    rest: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" + (f"/{self.rest}" if self.rest else "")

    @property
    def is_in_storage(self) -> bool:
        """Whether it is in a storage account, and not in a Service Bus."""
        return self.kind in ("storage-queue", "blob")

    @property
    def target(self) -> Place:
        """Where messages are sent that arrive here: a subscription's topic, else the same."""
        return Place(self.kind, self.name) if self.kind == "topic" else self


def read_target(text: str) -> Place:
    """A place to send to. Raises PlaceError."""
    place = _read(text)
    if place.kind == "topic" and place.rest:
        raise PlaceError(
            f"`{text}` is a subscription; messages are sent to its topic", hint=f"write topic:{place.name}"
        )
    return place


def read_source(text: str) -> Place:
    """A place to look at, or to take from. Raises PlaceError."""
    place = _read(text)
    if place.kind == "topic" and not place.rest:
        raise PlaceError(
            f"`{text}` is a topic; messages wait in its subscriptions", hint=f"write {text}/SUBSCRIPTION"
        )
    return place


def _read(text: str) -> Place:
    kind, colon, name = text.partition(":")
    name = name.strip("/") if kind != "blob" else name.lstrip("/")
    if not colon or kind not in KINDS or not name:
        near = did_you_mean(kind, KINDS) if colon and kind not in KINDS else None
        raise PlaceError(f"`{text}` names no place for messages or blobs", hint=near or _HINT)
    match kind:
        case "topic":
            # a topic's name may hold `/`, a subscription's may not
            topic, slash, subscription = name.rpartition("/")
            return Place("topic", topic, subscription) if slash else Place("topic", name)
        case "blob":
            container, _, blob = name.partition("/")
            return Place("blob", container, blob)
        case "storage-queue":
            return Place("storage-queue", name.lower())
        case _:
            return Place("queue", name)
