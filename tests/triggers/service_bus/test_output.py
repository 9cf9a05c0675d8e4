"""The output on a real AMQP broker with the real library."""

from __future__ import annotations

import asyncio

import pytest

from fnpack_triggers.base import Binding
from fnpack_triggers.errors import BindingError
from fnpack_triggers.service_bus.faults import BusRefused, EntityAbsent
from fnpack_triggers.service_bus.options import BusOptions
from fnpack_triggers.service_bus.output import ServiceBusOutput

SOURCE = {"MessageId": "m", "SequenceNumber": 7, "EnqueuedTimeUtc": "2024-01-01T00:00:00+00:00"}


@pytest.fixture
async def output_to(bus):
    made: list[ServiceBusOutput] = []

    def make(**properties: str) -> ServiceBusOutput:
        lowered = {key.lower(): value for key, value in properties.items()}
        binding = Binding("output", "servicebus", "out", lowered)
        made.append(ServiceBusOutput("f", binding, bus.connection, BusOptions(try_timeout_s=10)))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def body(message) -> bytes:
    return b"".join(message.body)


async def test_value_is_sent_with_its_content_type(bus, output_to) -> None:
    name = bus.queue()
    output = output_to(queueName=name)
    cases = [
        (b"\x00\xff", "application/octet-stream", "application/octet-stream"),
        (b"[1, 2]", "application/json", "application/json"),
        (b"text", "", "text/plain"),
        (b'{"a": 1}', "", "application/json"),
    ]
    for value, given, _ in cases:
        assert await output.write(value, {}, content_type=given) == name
    found = await asyncio.to_thread(bus.take, name, 4)
    assert [(body(one), one.content_type) for one in found] == [(value, kind) for value, _, kind in cases]


async def test_text_that_is_a_json_array_becomes_messages(bus, output_to) -> None:
    name = bus.queue()
    assert (
        await output_to(queueName=name).write(b'["a", {"b": 1}]', {}, content_type="")
        == f"{name} (2 messages)"
    )
    found = await asyncio.to_thread(bus.take, name, 2)
    assert [body(one) for one in found] == [b"a", b'{"b": 1}']
    assert len({one.message_id for one in found}) == 2


async def test_repeat_of_the_same_event_is_dropped_by_duplicate_detection(bus, output_to) -> None:
    name = bus.queue(duplicate_window_ms=60_000)
    output = output_to(queueName=name)
    for _ in range(2):
        await output.write(b"x", SOURCE, content_type="text/plain")
    await output.write(b"y", {**SOURCE, "SequenceNumber": 8}, content_type="text/plain")
    for _ in range(2):
        await output.write(b"z", {}, content_type="text/plain")  # no name of its own: never a repeat
    found = await asyncio.to_thread(bus.take, name, 5, wait_s=1)
    assert [body(one) for one in found] == [b"x", b"y", b"z", b"z"]


async def test_many_writes_at_once_all_arrive(bus, output_to) -> None:
    name = bus.queue()
    output = output_to(queueName=name)
    bodies = [b"%d" % number + b"x" * 5000 for number in range(150)]
    await asyncio.gather(*(output.write(one, {}, content_type="text/plain") for one in bodies))
    found = await asyncio.to_thread(bus.take, name, 150)
    assert sorted(map(body, found)) == sorted(bodies)


async def test_name_may_hold_an_expression_and_a_topic_be_the_target(bus, output_to) -> None:
    bus.running.ensure_subscription("out-blue", "all")
    await output_to(topicName="out-{colour}").write(b"x", {"colour": "blue"}, content_type="")

    def take() -> bytes:
        with bus.client() as client, client.get_subscription_receiver("out-blue", "all") as link:
            (message,) = link.receive_messages(1, max_wait_time=5)
            link.complete_message(message)
            return body(message)

    assert await asyncio.to_thread(take) == b"x"


async def test_absent_entity_and_a_message_too_large_are_clear_errors(bus, output_to) -> None:
    with pytest.raises(EntityAbsent, match=r"send to queue `nowhere`: it does not exist"):
        await output_to(queueName="nowhere").write(b"x", {}, content_type="")
    name = bus.queue()
    output = output_to(queueName=name)
    too_large = output.write(b"x" * 300_000, {}, content_type="text/plain")
    fitting = output.write(b"y", {}, content_type="text/plain")
    results = await asyncio.gather(too_large, fitting, return_exceptions=True)
    assert isinstance(results[0], BusRefused)
    assert "too large" in str(results[0])
    assert results[1] == name


async def test_output_goes_on_after_a_restart_of_the_broker(own_bus) -> None:
    name = own_bus.queue()
    binding = Binding("output", "servicebus", "out", {"queuename": name})
    output = ServiceBusOutput("f", binding, own_bus.connection, BusOptions(try_timeout_s=5))
    await output.write(b"1", {}, content_type="text/plain")
    await asyncio.to_thread(own_bus.running.stop)
    await asyncio.to_thread(own_bus.restart, name)
    await output.write(b"2", {}, content_type="text/plain")
    await output.close()
    found = await asyncio.to_thread(own_bus.take, name, 2)
    assert [body(one) for one in found] == [b"1", b"2"]


@pytest.mark.parametrize("properties", [{}, {"queueName": "q", "topicName": "t"}])
def test_binding_names_one_entity(output_to, properties) -> None:
    with pytest.raises(BindingError, match="needs either `queueName` or `topicName`"):
        output_to(**properties)
