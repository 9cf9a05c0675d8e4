"""What every trigger kind shares: the binding as read, the event handed to the host, the listener's life.

It owns no I/O. A listener yields events through `Deliver` and settles them; it knows neither workers nor HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Binding(NamedTuple):
    """One entry of function.json `bindings`. Keys of `properties` are lower-cased; values are as read."""

    name: str
    type: str  # lower-cased: "blobtrigger", "http", ...
    direction: str  # "in" or "out"
    properties: Mapping[str, Json] = {}

    def text(self, key: str, default: str = "") -> str:
        """The string property `key` (any case), or `default` if it is absent or not a string."""
        value = self.properties.get(key.lower())
        return value if isinstance(value, str) else default

    @property
    def is_trigger(self) -> bool:
        """Whether this is the binding that starts the function."""
        return self.type.endswith("trigger")

    @property
    def is_batch(self) -> bool:
        """Whether one call gets many values (`cardinality`)."""
        return self.text("cardinality").lower() == "many"


class Event(NamedTuple):
    """Something happened: one call of the function.

    `payload` is the trigger's value (blob or message bytes); of a batch the values are `items`. `data` is the binding
    data that expressions such as `{blobname}` read (names compare case-insensitively). `source` says in a log line
    what it was (`input/a.json`). `attempt` counts from 1.
    """

    payload: bytes
    data: Mapping[str, Json]
    source: str
    attempt: int = 1
    content_type: str = ""
    items: tuple[bytes, ...] | None = None


# Runs the function for an event and returns once every output is durable. Raises `InvocationFailed` when the
# function, its worker or an output failed, so that the listener retries; the failure is already logged.
Deliver = Callable[[Event], Awaitable[None]]


class InvocationFailed(Exception):  # noqa: N818 - it is an outcome, not a defect
    """The function did not complete for an event; the listener decides on a retry."""


class Listener(Protocol):
    """One trigger of one function, from `start` to `stop`."""

    async def start(self, deliver: Deliver) -> None:
        """Begin to yield events. Raises FnpackError when the trigger can never work (bad setting, no access)."""

    async def stop(self) -> None:
        """Take nothing new, wait for what is in flight, settle it, give back the rest. Safe to call twice."""


class OutputBinding(Protocol):
    """Writes a function's output to one service."""

    async def write(self, value: bytes, data: Mapping[str, Json], *, content_type: str) -> str:
        """Write `value` durably and atomically, at the place named by the binding's expressions over `data`.

        Returns what was written, for a log line (`output/a_out.json`). A repeat overwrites the same thing.
        """

    async def close(self) -> None:
        """Release connections."""


class InputBinding(Protocol):
    """Reads what a function wants to have beside its trigger's value."""

    async def read(self, data: Mapping[str, Json]) -> bytes | None:
        """The bytes at the place named by the binding's expressions over `data`, or None if nothing is there."""

    async def close(self) -> None:
        """Release connections."""


class BlobEvent(NamedTuple):
    """A blob was written, as Event Grid tells it. `etag` may be empty; `blob_type` is `BlockBlob`, `PageBlob`, ..."""

    container: str
    name: str
    etag: str
    blob_type: str
    url: str


@runtime_checkable
class EventGridSink(Protocol):
    """A blob trigger with `source: EventGrid`: is told of blobs instead of looking for them."""

    async def take(self, event: BlobEvent) -> None:
        """Keep the event durably, so that its blob is run once at least; the sender then forgets it.

        Raises FnpackError where that is not possible: the sender tries again later.
        """


@runtime_checkable
class ManualStart(Protocol):
    """A listener whose function can be started by hand: `POST /admin/functions/{name}`."""

    async def start_by_hand(self, text: str) -> None:
        """Run the function for what `text` names: `container/name` of a blob, the text of a message.

        Raises FnpackError where it names nothing.
        """
