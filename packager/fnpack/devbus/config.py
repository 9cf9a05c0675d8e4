"""Reads the official emulator's Config.json, so that one file serves both. All problems are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fnpack.config.files import label, read_text
from fnpack.config.json_text import parse_json_object
from fnpack.config.problems import Problems
from fnpack.config.suggest import did_you_mean_or_list
from fnpack.devbus.comments import without_comments
from fnpack.devbus.durations import parse_duration_ms
from fnpack.devbus.entities.errors import MalformedError
from fnpack.devbus.entities.namespace import checked_name
from fnpack.devbus.entities.settings import QueueSettings, TopicSettings
from fnpack.devbus.filters.action import parse_action
from fnpack.devbus.filters.correlation import SYSTEM_NAMES, CorrelationFilter
from fnpack.devbus.filters.rule import Filter, Rule, TrueFilter
from fnpack.devbus.filters.sql import sql_filter
from fnpack.devbus.filters.sql_tokens import SqlFilterError
from fnpack_triggers.base import Json

T = TypeVar("T", bool, str)
MAX_ENTITIES = 50
_LOCK_MS = (5_000, 300_000)
_LIFE_MS = (1_000, 3_600_000)
_WINDOW_MS = (20_000, 300_000)
_DELIVERIES = (1, 10)
_QUEUE_KEYS = (
    "DeadLetteringOnMessageExpiration",
    "DefaultMessageTimeToLive",
    "DuplicateDetectionHistoryTimeWindow",
    "ForwardDeadLetteredMessagesTo",
    "ForwardTo",
    "LockDuration",
    "MaxDeliveryCount",
    "RequiresDuplicateDetection",
    "RequiresSession",
)
_SUBSCRIPTION_KEYS = tuple(key for key in _QUEUE_KEYS if "Duplicate" not in key)
_TOPIC_KEYS = (
    "DefaultMessageTimeToLive",
    "DuplicateDetectionHistoryTimeWindow",
    "RequiresDuplicateDetection",
)
_DEFAULT_WINDOW_MS, _DEFAULT_DELIVERIES = 60_000, 10


@dataclass(frozen=True, slots=True)
class SubscriptionConfig:
    """A subscription; no rules: it takes everything."""

    name: str
    settings: QueueSettings
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """A topic and its subscriptions."""

    name: str
    settings: TopicSettings
    subscriptions: tuple[SubscriptionConfig, ...]


@dataclass(frozen=True, slots=True)
class BusConfig:
    """All entities."""

    queues: Mapping[str, QueueSettings]
    topics: tuple[TopicConfig, ...]


def read_config(path: Path) -> BusConfig:
    """Read a Config.json. Raises ConfigurationError with every problem, or its subclasses for unreadable files."""
    return parse_config(read_text(path), label(path))


def parse_config(text: str, name: str) -> BusConfig:
    """Read the text of a Config.json; `name` names it in messages. Raises ConfigurationError."""
    problems = Problems()
    raw = parse_json_object(without_comments(text), name, problems)
    root = _Node(raw, f"{name}: ", "", problems)
    user = root.child("UserConfig", ("Namespaces", "Logging"))
    root.known(("UserConfig",))
    namespaces = user.items("Namespaces", ("Name", "Queues", "Topics"))
    if len(namespaces) != 1:
        user.problem("Namespaces", f"there are {len(namespaces)} namespaces", "the emulator has exactly one")
    queues: dict[str, QueueSettings] = {}
    topics: list[TopicConfig] = []
    for namespace in namespaces[:1]:
        queues = dict(_queue(node) for node in _named(namespace, "Queues", ("Name", "Properties")))
        keys = ("Name", "Properties", "Subscriptions")
        topics = [_topic(node) for node in _named(namespace, "Topics", keys)]
        both = sorted(set(map(str.casefold, queues)) & {topic.name.casefold() for topic in topics})
        for one in both:
            namespace.problem("Topics", f"`{one}` is a queue too", "give it another name")
        if len(queues) + len(topics) > MAX_ENTITIES:
            namespace.problem(
                "", f"there are {len(queues) + len(topics)} entities", f"at most {MAX_ENTITIES} are allowed"
            )
    problems.check()
    return BusConfig(queues, tuple(topics))


class _Node:
    """An object within the file, and where it is."""

    def __init__(self, raw: Json, name: str, path: str, problems: Problems) -> None:
        self._name, self.path, self.problems = name, path, problems
        if not isinstance(raw, dict):
            self.problem("", "this must be an object, `{ ... }`")
        self.raw: dict[str, Json] = raw if isinstance(raw, dict) else {}

    def at(self, key: str) -> str:
        return f"{self.path}.{key}".strip(".")

    def problem(self, key: str, what: str, suggestion: str | None = None) -> None:
        self.problems.add(f"{self._name}{self.at(key)}", what, suggestion)

    def known(self, keys: tuple[str, ...]) -> None:
        for key in self.raw:
            if key not in keys:
                self.problem(key, f"the key `{key}` is unknown", did_you_mean_or_list(key, keys))

    def child(self, key: str, keys: tuple[str, ...]) -> _Node:
        made = _Node(self.raw.get(key, {}), self._name, self.at(key), self.problems)
        made.known(keys)
        return made

    def items(self, key: str, keys: tuple[str, ...]) -> list[_Node]:
        raw = self.raw.get(key) or []
        if not isinstance(raw, list):
            self.problem(key, "this must be a list, `[ ... ]`")
            return []
        made = [
            _Node(one, self._name, f"{self.at(key)}[{index}]", self.problems) for index, one in enumerate(raw)
        ]
        for one in made:
            one.known(keys)
        return made

    def get(self, key: str, kind: type[T], default: T) -> T:
        value = self.raw.get(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            self.problem(key, "this must be " + ("`true` or `false`" if kind is bool else "a text"))
            return default
        return value

    def number(self, key: str, limits: tuple[int, int], default: int) -> int:
        value = self.raw.get(key)
        if value is None:
            return default
        low, high = limits
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.problem(key, f"this must be a whole number from {low} to {high}")
            return default
        return value

    def duration_ms(self, key: str, limits: tuple[int, int], default: int) -> int:
        value = self.raw.get(key)
        if value is None:
            return default
        found = parse_duration_ms(value) if isinstance(value, str) else None
        low, high = limits
        if found is None:
            self.problem(key, "this must be an ISO 8601 duration", "write for example `PT1M` or `PT30S`")
            return default
        if not low <= found <= high:
            self.problem(key, f"this must be from {low // 1000} to {high // 1000} seconds")
        return found


def _named(node: _Node, key: str, keys: tuple[str, ...]) -> Iterator[_Node]:
    """The items that have a good name of their own."""
    seen: set[str] = set()
    for item in node.items(key, keys):
        name = item.get("Name", str, "")
        try:
            checked_name(name)
        except MalformedError as exc:
            item.problem("Name", str(exc) if name else "the name is missing")
            continue
        if name.casefold() in seen:
            item.problem("Name", f"`{name}` is there twice", "give it another name")
            continue
        seen.add(name.casefold())
        yield item


def _queue(node: _Node) -> tuple[str, QueueSettings]:
    return node.get("Name", str, ""), _settings(node.child("Properties", _QUEUE_KEYS))


def _settings(node: _Node) -> QueueSettings:
    return QueueSettings(
        lock_ms=node.duration_ms("LockDuration", _LOCK_MS, 60_000),
        max_deliveries=node.number("MaxDeliveryCount", _DELIVERIES, _DEFAULT_DELIVERIES),
        ttl_ms=node.duration_ms("DefaultMessageTimeToLive", _LIFE_MS, _LIFE_MS[1]),
        dead_letter_expired=node.get("DeadLetteringOnMessageExpiration", bool, False),
        requires_session=node.get("RequiresSession", bool, False),
        duplicate_window_ms=_window(node),
        forward_to=node.get("ForwardTo", str, "") or None,
        forward_dead_letters_to=node.get("ForwardDeadLetteredMessagesTo", str, "") or None,
    )


def _window(node: _Node) -> int | None:
    window_ms = node.duration_ms("DuplicateDetectionHistoryTimeWindow", _WINDOW_MS, _DEFAULT_WINDOW_MS)
    return window_ms if node.get("RequiresDuplicateDetection", bool, False) else None


def _topic(node: _Node) -> TopicConfig:
    properties = node.child("Properties", _TOPIC_KEYS)
    ttl_ms = properties.duration_ms("DefaultMessageTimeToLive", _LIFE_MS, _LIFE_MS[1])
    settings = TopicSettings(ttl_ms=ttl_ms, duplicate_window_ms=_window(properties))
    subscriptions = _named(node, "Subscriptions", ("Name", "Properties", "Rules"))
    return TopicConfig(
        node.get("Name", str, ""), settings, tuple(_subscription(one) for one in subscriptions)
    )


def _subscription(node: _Node) -> SubscriptionConfig:
    settings = _settings(node.child("Properties", _SUBSCRIPTION_KEYS))
    rules = tuple(_rule(rule) for rule in _named(node, "Rules", ("Name", "Properties")))
    return SubscriptionConfig(node.get("Name", str, ""), settings, rules)


def _rule(node: _Node) -> Rule:
    properties = node.child("Properties", ("FilterType", "CorrelationFilter", "SqlFilter", "Action"))
    kind = properties.get("FilterType", str, "")
    one: Filter = TrueFilter()
    if kind == "Correlation":
        one = _correlation(properties)
    elif kind == "Sql":
        one = _parsed(properties.child("SqlFilter", ("SqlExpression",)), sql_filter, one)
    else:
        properties.problem("FilterType", f"`{kind}` is no filter type", "write `Correlation` or `Sql`")
    action = None
    if properties.raw.get("Action"):
        action = _parsed(properties.child("Action", ("SqlExpression",)), parse_action, None)
    return Rule(node.get("Name", str, ""), one, action)


P = TypeVar("P")


def _parsed(node: _Node, parse: Callable[[str], P], default: P) -> P:
    try:
        return parse(node.get("SqlExpression", str, ""))
    except SqlFilterError as exc:
        node.problem("SqlExpression", f"{exc.what} at character {exc.position + 1}")
        return default


def _correlation(properties: _Node) -> CorrelationFilter:
    node = properties.child("CorrelationFilter", (*SYSTEM_NAMES, "Properties"))
    system = {name: node.get(name, str, "") for name in SYSTEM_NAMES if node.raw.get(name) is not None}
    user = node.raw.get("Properties") or {}
    if not isinstance(user, dict):
        node.problem("Properties", "this must be an object, `{ ... }`")
        user = {}
    plain = {key: value for key, value in user.items() if isinstance(value, str | int | float | bool)}
    for key in user.keys() - plain.keys():
        node.problem(f"Properties.{key}", "this must be a text, a number, `true` or `false`")
    if not system and not plain:
        properties.problem("CorrelationFilter", "the filter has no condition", "name at least one property")
    return CorrelationFilter(system, plain)
