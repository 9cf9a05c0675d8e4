"""Service Bus for a person, against the development Service Bus."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest
from azure.core.credentials import AccessToken
from azure.servicebus import ServiceBusClient

from fnpack.devbus import DevBusThread, QueueSettings
from fnpack.messages.message import Draft, Message
from fnpack.messages.place import Place
from fnpack.messages.service_bus import Bus
from fnpack_triggers.identity import SignIn
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.faults import EntityAbsent


@pytest.fixture(scope="module")
def service() -> Iterator[DevBusThread]:
    with DevBusThread() as running:
        yield running


@pytest.fixture
def bus(service: DevBusThread) -> Iterator[Bus]:
    with Bus(BusConnection.parse("test", service.connection_string)) as client:
        yield client


@pytest.fixture
def queue(service: DevBusThread) -> Place:
    return Place("queue", service.ensure_queue(f"q-{uuid4().hex[:8]}"))


def taken(bus: Bus, place: Place, count: int = 1, **how) -> list[Message]:
    return list(bus.receive(place, count, 0.5, **how))


def test_message_is_sent_seen_and_taken_once_with_all_that_belongs_to_it(bus: Bus, queue: Place) -> None:
    drafts = [Draft(b'{"a": 1}', "application/json", properties={"kind": "x"}), Draft(b"\xff\x00")]
    ids = bus.send(queue, drafts)
    seen = bus.peek(queue, 10)
    assert [one.facts["id"] for one in seen] == ids
    first = seen[0].as_json()
    assert (first["body"], first["content_type"], first["properties"]) == (
        '{"a": 1}',
        "application/json",
        {"kind": "x"},
    )
    assert seen[1].as_json()["body_base64"] == "/wA="
    assert [one.body for one in taken(bus, queue, 10)] == [b'{"a": 1}', b"\xff\x00"]
    assert taken(bus, queue) == []


def test_message_that_cannot_be_shown_stays(bus: Bus, queue: Place) -> None:
    bus.send(queue, [Draft(b"x")])

    with closing(bus.receive(queue, 1, 2)) as messages:
        assert next(messages).body == b"x"  # and never asks for the next
    assert [one.body for one in bus.peek(queue, 10)] == [b"x"]


def test_dead_letter_is_sent_again_as_a_new_message(bus: Bus, service: DevBusThread) -> None:
    name = service.ensure_queue(
        f"q-{uuid4().hex[:8]}", QueueSettings(duplicate_window_ms=600_000, ttl_ms=1, dead_letter_expired=True)
    )
    place = Place("queue", name)
    (old_id,) = bus.send(place, [Draft(b"late", properties={"kind": "x"})])
    (dead,) = taken(bus, place, dead_letter=True, requeue=True)
    assert (dead.facts["id"], dead.facts["dead_letter_reason"]) == (old_id, "TTLExpiredException")
    (again,) = taken(bus, place, dead_letter=True)  # it has expired again
    assert (again.body, again.facts["properties"]) == (b"late", {"kind": "x"})
    assert again.facts["id"] != old_id


def test_sessions_are_taken_by_name_or_as_they_come(bus: Bus, service: DevBusThread) -> None:
    place = Place("queue", service.ensure_queue(f"s-{uuid4().hex[:8]}", QueueSettings(requires_session=True)))
    bus.send(place, [Draft(b"a", session_id="one"), Draft(b"b", session_id="two")])
    assert [one.facts["session_id"] for one in taken(bus, place, session="two")] == ["two"]
    assert [one.body for one in taken(bus, place)] == [b"a"]
    assert taken(bus, place) == []


def test_topic_reaches_each_subscription(bus: Bus, service: DevBusThread) -> None:
    topic = f"t-{uuid4().hex[:8]}"
    for name in ("one", "two"):
        service.ensure_subscription(topic, name)
    bus.send(Place("topic", topic), [Draft(b"news")])
    for name in ("one", "two"):
        assert [one.body for one in taken(bus, Place("topic", topic, name))] == [b"news"]


def test_watch_sees_only_what_comes_from_now_on(bus: Bus, queue: Place) -> None:
    bus.send(queue, [Draft(b"old")] * 5)
    with bus.watch(queue) as watch:
        assert watch.new() == []
        bus.send(queue, [Draft(b"new")])
        (found,) = watch.new()
        assert (found.body, watch.new()) == (b"new", [])
        assert watch.holds(found.sequence)
        taken(bus, queue, 10)
        assert not watch.holds(found.sequence)


def test_place_that_is_not_there_is_named(bus: Bus) -> None:
    for call in (lambda place: bus.send(place, [Draft(b"x")]), lambda place: bus.peek(place, 1)):
        with pytest.raises(EntityAbsent) as caught:
            call(Place("queue", "nowhere"))
        assert "`queue:nowhere`: it does not exist" in str(caught.value)
        assert "`fnpack dev` creates" in str(caught.value.hint)


def test_identity_signs_in_with_its_token(
    service: DevBusThread, queue: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Credential:
        """Stands for a managed identity, which exists in Azure only."""

        def __init__(self, sign_in: SignIn) -> None:
            assert sign_in.is_managed

        def get_token(self, *scopes: str, **_: object) -> AccessToken:
            assert scopes[0].startswith("https://servicebus.azure.net/")
            return AccessToken("of-the-identity", int(time.time()) + 3600)

        def close(self) -> None: ...

    monkeypatch.setattr("fnpack.messages.service_bus.SyncCredential", Credential)
    plain = functools.partial(ServiceBusClient, use_tls=False)  # the development Service Bus speaks no TLS
    monkeypatch.setattr("fnpack.messages.service_bus.ServiceBusClient", plain)
    service.call(lambda bus: setattr(bus.faults, "only_token", "of-the-identity"))
    settings = {
        "B__fullyQualifiedNamespace": f"127.0.0.1:{service.port}",
        "B__credential": "managedidentity",
    }
    try:
        with Bus(BusConnection.find(settings, "B")) as client:
            client.send(queue, [Draft(b"x")])
    finally:
        service.call(lambda bus: setattr(bus.faults, "only_token", ""))
    assert service.call(lambda bus: len(bus.ensure_queue(queue.name))) == 1
