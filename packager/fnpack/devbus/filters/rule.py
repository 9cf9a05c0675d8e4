"""A rule: a filter, and perhaps an action on what it lets through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.filters.action import Action


class Filter(Protocol):
    """Says whether a message passes."""

    def matches(self, message: Message) -> bool:
        """Whether the message passes."""


class TrueFilter:
    """Lets everything pass."""

    def matches(self, message: Message) -> bool:
        """Always."""
        return True


class FalseFilter:
    """Lets nothing pass."""

    def matches(self, message: Message) -> bool:
        """Never."""
        return False


@dataclass(frozen=True, slots=True)
class Rule:
    """A named filter with an optional action."""

    name: str
    filter: Filter
    action: Action | None = None

    def matches(self, message: Message) -> bool:
        """Whether the filter lets the message pass."""
        return self.filter.matches(message)

    def apply(self, message: Message) -> Message:
        """The message after the action."""
        return self.action.apply(message) if self.action is not None else message


DEFAULT_RULE = Rule("$Default", TrueFilter())
