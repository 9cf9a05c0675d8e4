"""A topic: what is sent to it goes to each subscription one of whose rules matches."""

from __future__ import annotations

from dataclasses import replace

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.amqp.types import EncodeError
from fnpack.devbus.entities.errors import BusError, ConflictError, EntityNotFoundError
from fnpack.devbus.entities.intake import Clock, Intake, Origin
from fnpack.devbus.entities.journal import Journal
from fnpack.devbus.entities.queue import Forward, MessageQueue
from fnpack.devbus.entities.settings import QueueSettings, TopicSettings
from fnpack.devbus.entities.stored import State
from fnpack.devbus.filters.rule import DEFAULT_RULE, Rule


class Subscription(MessageQueue):
    """A queue that a topic fills. `rules` by name; without any nothing arrives."""

    def __init__(
        self,
        name: str,
        settings: QueueSettings,
        clock: Clock,
        journal: Journal,
        forward: Forward | None = None,
    ) -> None:
        super().__init__(name, settings, clock, journal, forward)
        self.rules: dict[str, Rule] = {DEFAULT_RULE.name: DEFAULT_RULE}

    def add_rule(self, rule: Rule) -> None:
        """Add a rule. Raises ConflictError if there is one of that name."""
        if rule.name in self.rules:
            raise ConflictError(f"`{self.name}` has a rule `{rule.name}` already")
        self.rules[rule.name] = rule

    def remove_rule(self, name: str) -> None:
        """Remove a rule. Raises EntityNotFoundError."""
        if self.rules.pop(name, None) is None:
            raise EntityNotFoundError(f"`{self.name}` has no rule `{name}`")

    def copies_of(self, message: Message) -> list[Message]:
        """What arrives: one copy for all rules that match without an action, one for each that has an action."""
        matching = [rule for rule in self.rules.values() if rule.matches(message)]
        copies = [copy for rule in matching if rule.action is not None for copy in _applied(rule, message)]
        if any(rule.action is None for rule in matching):
            copies.append(message)
        return copies


def _applied(rule: Rule, message: Message) -> list[Message]:
    try:
        return [rule.apply(message)]
    except EncodeError:  # the action's result does not fit any AMQP type: nothing that could be delivered
        return []


class Topic(Intake):
    """A topic and its subscriptions, by casefolded name."""

    def __init__(
        self,
        name: str,
        settings: TopicSettings,
        clock: Clock,
        journal: Journal,
        forward: Forward | None = None,
    ) -> None:
        super().__init__(name, settings, clock, journal)
        self.settings = settings
        self.subscriptions: dict[str, Subscription] = {}
        self._forward = forward
        for stored in journal.load(self._key):
            self._messages[stored.sequence] = stored
            self._bytes += stored.message.size_bytes
            if stored.state is State.SCHEDULED and stored.due_ms is not None:
                self._scheduled.set(stored.sequence, stored.due_ms)

    def subscription(self, name: str) -> Subscription:
        """A subscription by name. Raises EntityNotFoundError."""
        found = self.subscriptions.get(name.casefold())
        if found is None:
            raise EntityNotFoundError(f"topic `{self.name}` has no subscription `{name}`")
        return found

    def subscribe(self, name: str, settings: QueueSettings) -> Subscription:
        """A new subscription with the default rule, which takes everything."""
        full_name = f"{self.name}/Subscriptions/{name}"
        made = Subscription(full_name, settings, self.clock, self._journal, self._forward)
        self.subscriptions[name.casefold()] = made
        return made

    def _arrive(self, message: Message, sequence: int, origin: Origin) -> None:
        for subscription in self.subscriptions.values():
            for copy in subscription.copies_of(self._with_life(message)):
                self._deliver(subscription, copy, Origin(sequence, hops=origin.hops))

    def _deliver(self, subscription: Subscription, copy: Message, origin: Origin) -> None:
        try:
            subscription.check(copy)
        except BusError:
            return  # one subscription that is full, or wants a session, does not keep the others from theirs
        subscription.hand_over(copy, origin)

    def _with_life(self, message: Message) -> Message:
        """The topic's time to live bounds the message's; the subscription's bounds it again."""
        lives = [one for one in (message.ttl_ms, self.settings.ttl_ms) if one is not None]
        life_ms = min(lives) if lives else None
        return message if life_ms == message.ttl_ms else replace(message, ttl_ms=life_ms)
