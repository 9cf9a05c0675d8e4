"""Which queue, topic or subscription a binding names."""

from __future__ import annotations

from dataclasses import dataclass

from fnpack_triggers.base import Binding
from fnpack_triggers.errors import BindingError

_DEAD_LETTERS = "/$deadletterqueue"


@dataclass(frozen=True, slots=True)
class Entity:
    """A queue, a topic (`is_topic`), or a topic's `subscription`; or, to receive from, its dead letters."""

    name: str
    is_topic: bool = False
    subscription: str = ""
    is_dead_letters: bool = False

    def __str__(self) -> str:
        kind = "topic" if self.is_topic else "queue"
        whole = f"{kind} `{self.name}`"
        if self.subscription:
            whole = f"subscription `{self.subscription}` of {whole}"
        return f"dead letters of {whole}" if self.is_dead_letters else whole

    @property
    def path(self) -> str:
        """As it appears in log lines: `orders`, `events/audit`."""
        path = f"{self.name}/{self.subscription}" if self.subscription else self.name
        return path + _DEAD_LETTERS if self.is_dead_letters else path


def source_of(binding: Binding) -> Entity:
    """The entity that a trigger receives from. Raises BindingError."""
    queue, topic, subscription = (
        binding.text(key).strip() for key in ("queueName", "topicName", "subscriptionName")
    )
    _check_one(binding, queue, topic)
    if queue:
        name, is_dead = _split(queue)
        return Entity(name, is_dead_letters=is_dead)
    if not subscription:
        raise BindingError(
            f"binding `{binding.name}` names the topic `{topic}`, but `subscriptionName` is missing"
        )
    name, is_dead = _split(subscription)
    return Entity(topic, is_topic=True, subscription=name, is_dead_letters=is_dead)


def check_target(binding: Binding) -> tuple[str, bool]:
    """The name of an output's entity, which may hold expressions, and whether it is a topic. Raises BindingError."""
    queue, topic = binding.text("queueName").strip(), binding.text("topicName").strip()
    _check_one(binding, queue, topic)
    return (queue, False) if queue else (topic, True)


def _check_one(binding: Binding, queue: str, topic: str) -> None:
    if bool(queue) == bool(topic):
        found = "both are there" if queue else "both are missing"
        raise BindingError(f"binding `{binding.name}` needs either `queueName` or `topicName`; {found}")


def _split(name: str) -> tuple[str, bool]:
    is_dead = name.lower().endswith(_DEAD_LETTERS)
    return (name[: -len(_DEAD_LETTERS)], True) if is_dead else (name, False)
