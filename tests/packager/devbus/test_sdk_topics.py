"""The unmodified SDK on topics: each subscription gets a copy of what one of its rules lets through."""

from __future__ import annotations

from datetime import timedelta

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.exceptions import ServiceBusError

from fnpack.devbus.entities.settings import QueueSettings, TopicSettings
from fnpack.devbus.filters.action import parse_action
from fnpack.devbus.filters.correlation import CorrelationFilter
from fnpack.devbus.filters.rule import Rule
from fnpack.devbus.filters.sql import sql_filter

TOPIC = "events"


@pytest.fixture(scope="module", autouse=True)
def topic(bus) -> None:
    bus.ensure_topic(TOPIC, TopicSettings(duplicate_window_ms=60_000))
    rules = {
        "red": [Rule("red", CorrelationFilter({"Subject": "red"}, {"size": 2}))],
        "large": [Rule("large", sql_filter("size >= 10 AND sys.Label LIKE 'r%'"))],
        "marked": [
            Rule("mark", sql_filter("size = 77"), parse_action("SET sys.To = 'there'; SET seen = size + 1"))
        ],
    }

    def make(service) -> None:
        service.ensure_subscription(TOPIC, "all", QueueSettings(max_deliveries=1))
        for name, found in rules.items():
            service.ensure_subscription(TOPIC, name).rules = {rule.name: rule for rule in found}
        service.ensure_queue("archive")
        service.ensure_subscription(TOPIC, "forwarding", QueueSettings(forward_to="archive")).rules = {
            "only": Rule("only", CorrelationFilter({"Subject": "forward"}))
        }

    bus.call(make)


def take(links, subscription: str, count: int) -> list[str]:
    """That many bodies, in order, completed; fails if there are more."""
    receiver = links.receiver(TOPIC, subscription)
    found: list[ServiceBusReceivedMessage] = []
    for _ in range(count):
        message = links.receive(TOPIC, subscription)
        receiver.complete_message(message)
        found.append(message)
    last = found[-1].sequence_number or 0
    assert receiver.peek_messages(1, sequence_number=last + 1) == []
    return [str(message) for message in found]


def test_each_subscription_gets_what_its_rules_let_through(links) -> None:
    def message(body: str, subject: str, size: int) -> ServiceBusMessage:
        return ServiceBusMessage(body, subject=subject, application_properties={"size": size})

    links.sender(TOPIC, topic=True).send_messages(
        [message("a", "red", 2), message("b", "red", 12), message("c", "blue", 12), message("d", "red", 3)]
    )
    assert take(links, "all", 4) == ["a", "b", "c", "d"]
    assert take(links, "red", 1) == ["a"]
    assert take(links, "large", 1) == ["b"]


def test_an_action_changes_the_copy(links) -> None:
    links.sender(TOPIC, topic=True).send_messages(ServiceBusMessage("x", application_properties={"size": 77}))
    marked = links.receive(TOPIC, "marked")
    links.receiver(TOPIC, "marked").complete_message(marked)
    assert (marked.to, marked.application_properties) == ("there", {b"size": 77, b"seen": 78})
    plain = links.receive(TOPIC, "all")
    links.receiver(TOPIC, "all").complete_message(plain)
    assert (plain.to, plain.application_properties) == (None, {b"size": 77})


def test_a_subscription_has_dead_letters_of_its_own(links) -> None:
    links.sender(TOPIC, topic=True).send_messages(ServiceBusMessage("poison"))
    links.receiver(TOPIC, "all").abandon_message(links.receive(TOPIC, "all"))
    (dead,) = links.dead_letters(TOPIC, "all").receive_messages(1)
    links.dead_letters(TOPIC, "all").complete_message(dead)
    assert (str(dead), dead.dead_letter_reason) == ("poison", "MaxDeliveryCountExceeded")
    assert dead.dead_letter_source == f"{TOPIC}/Subscriptions/all"


def test_a_message_scheduled_on_a_topic_reaches_the_subscriptions_in_time(links, now) -> None:
    due = now() + timedelta(seconds=0.7)
    sender = links.sender(TOPIC, topic=True)
    numbers = sender.schedule_messages([ServiceBusMessage("never"), ServiceBusMessage("timed")], due)
    sender.cancel_scheduled_messages(numbers[:1])
    message = links.receive(TOPIC, "all")
    links.receiver(TOPIC, "all").complete_message(message)
    assert str(message) == "timed"
    assert now() >= due


def test_a_topic_drops_repeats_for_all_subscriptions(links) -> None:
    for body in ("first", "repeat"):
        links.sender(TOPIC, topic=True).send_messages(ServiceBusMessage(body, message_id="same"))
    assert take(links, "all", 1) == ["first"]


def test_a_subscription_forwards(links) -> None:
    links.sender(TOPIC, topic=True).send_messages(ServiceBusMessage("on", subject="forward"))
    message = links.receive("archive")
    links.receiver("archive").complete_message(message)
    assert str(message) == "on"
    assert take(links, "all", 1) == ["on"]


def test_a_topic_cannot_be_received_from(links) -> None:
    with (
        pytest.raises(ServiceBusError, match="subscriptions"),
        links.client.get_queue_receiver(TOPIC) as receiver,
    ):
        receiver.receive_messages(1, max_wait_time=5)
