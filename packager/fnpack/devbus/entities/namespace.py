"""All queues and topics by name: finds what an address means, and forwards between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.entities.errors import EntityNotFoundError, MalformedError, NotAllowedError
from fnpack.devbus.entities.intake import Clock, Intake, Origin
from fnpack.devbus.entities.journal import Journal, NoJournal
from fnpack.devbus.entities.queue import MessageQueue
from fnpack.devbus.entities.settings import QueueSettings, TopicSettings
from fnpack.devbus.entities.topic import Subscription, Topic

MAX_HOPS = 4
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/~-]{0,258}[A-Za-z0-9_])?")
_URL = re.compile(r"[a-z]+://[^/]*/?", re.IGNORECASE)
_SUBSCRIPTION = "/subscriptions/"
_SUB_QUEUES = (("/$transfer/$deadletterqueue", "transfer"), ("/$deadletterqueue", "dead"))


class Namespace:
    """The entities. Names are compared without regard to case."""

    def __init__(self, clock: Clock, journal: Journal | None = None) -> None:
        self.journal = journal or NoJournal()
        self.on_new: Callable[[Intake], None] = lambda _entity: None
        self._clock = clock
        self._entities: dict[str, MessageQueue | Topic] = {}

    def ensure_queue(self, name: str, settings: QueueSettings | None = None) -> MessageQueue:
        """The queue of that name, made if need be; an existing one keeps its settings. Raises BusError."""
        found = self._entities.get(checked_name(name).casefold())
        if found is None:
            found = MessageQueue(name, settings or QueueSettings(), self._clock, self.journal, self.forward)
            self._add(name, found)
        if isinstance(found, Topic):
            raise NotAllowedError(f"`{name}` is a topic, not a queue")
        return found

    def ensure_topic(self, name: str, settings: TopicSettings | None = None) -> Topic:
        """The topic of that name, made if need be; an existing one keeps its settings. Raises BusError."""
        found = self._entities.get(checked_name(name).casefold())
        if found is None:
            found = Topic(name, settings or TopicSettings(), self._clock, self.journal, self.forward)
            self._add(name, found)
        if not isinstance(found, Topic):
            raise NotAllowedError(f"`{name}` is a queue, not a topic")
        return found

    def ensure_subscription(
        self, topic: str, name: str, settings: QueueSettings | None = None
    ) -> Subscription:
        """The subscription of that name, made if need be, with its topic; an existing one keeps its settings."""
        owner = self.ensure_topic(topic)
        found = owner.subscriptions.get(checked_name(name).casefold())
        if found is None:
            found = owner.subscribe(name, settings or QueueSettings())
            self._announce(found)
        return found

    def receivable(self, address: str) -> MessageQueue:
        """What a receiver's address means: a queue, a subscription or a sub-queue. Raises BusError."""
        path = path_of(address)
        for suffix, kind in _SUB_QUEUES:
            if path.casefold().endswith(suffix):
                owner = self._receivable(path[: -len(suffix)])
                found = owner.transfer_dead_letters if kind == "transfer" else owner.dead_letters
                if found is None:
                    raise EntityNotFoundError(f"`{path}` does not exist")
                return found
        return self._receivable(path)

    def sendable(self, address: str) -> MessageQueue | Topic:
        """What a sender's address means: a queue or a topic. Raises BusError."""
        path = path_of(address)
        found = self._entities.get(path.casefold())
        if found is None:
            self.receivable(address)
            raise NotAllowedError(f"`{path}` takes no messages from senders")
        return found

    def any_entity(self, address: str) -> MessageQueue | Topic:
        """What the address of management operations means. Raises BusError."""
        path = path_of(address)
        found = self._entities.get(path.casefold())
        return found if found is not None else self.receivable(path)

    def forward(self, target: str, message: Message, hops: int) -> None:
        """Send a message on to another entity. Raises BusError."""
        if hops > MAX_HOPS:
            raise NotAllowedError(f"the message has been forwarded {MAX_HOPS} times")
        entity = self.sendable(target)
        entity.send(message, origin=Origin(hops=hops))

    def queues(self) -> Iterator[MessageQueue]:
        """Every queue, subscription and sub-queue."""
        for entity in self._entities.values():
            tops = entity.subscriptions.values() if isinstance(entity, Topic) else (entity,)
            for top in tops:
                yield top
                yield from (sub for sub in (top.dead_letters, top.transfer_dead_letters) if sub is not None)

    def topics(self) -> Iterator[Topic]:
        """Every topic."""
        return (entity for entity in self._entities.values() if isinstance(entity, Topic))

    def _receivable(self, path: str) -> MessageQueue:
        found = self._entities.get(path.casefold())
        if isinstance(found, MessageQueue):
            return found
        if found is not None:
            raise NotAllowedError(f"`{path}` is a topic; receive from one of its subscriptions")
        topic, separator, name = _rpartition(path, _SUBSCRIPTION)
        owner = self._entities.get(topic.casefold())
        if separator and isinstance(owner, Topic):
            return owner.subscription(name)
        raise EntityNotFoundError(f"`{path}` does not exist")

    def _add(self, name: str, entity: MessageQueue | Topic) -> None:
        self._entities[name.casefold()] = entity
        self._announce(entity)

    def _announce(self, entity: MessageQueue | Topic) -> None:
        self.on_new(entity)
        if isinstance(entity, MessageQueue):
            for sub in (entity.dead_letters, entity.transfer_dead_letters):
                if sub is not None:
                    self.on_new(sub)


def path_of(address: str) -> str:
    """The entity's path in an address, which may be a whole URL."""
    return _URL.sub("", address, count=1).strip("/")


def checked_name(name: str) -> str:
    """The name itself. Raises MalformedError if no entity can be called that."""
    if not _NAME.fullmatch(name):
        raise MalformedError(
            f"`{name[:260]}` cannot name an entity; use letters, digits and `.`, `-`, `_`, `/`"
        )
    return name


def _rpartition(path: str, separator: str) -> tuple[str, str, str]:
    at = path.casefold().rfind(separator)
    return (path[:at], separator, path[at + len(separator) :]) if at >= 0 else (path, "", "")
