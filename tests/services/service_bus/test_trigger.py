"""The trigger and the output, on each Service Bus in the same way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusReceiveMode

from fnpack_triggers.base import Binding, Event, InvocationFailed, Json
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import Entity
from fnpack_triggers.service_bus.listener import ServiceBusTrigger
from fnpack_triggers.service_bus.options import BusOptions
from fnpack_triggers.service_bus.output import ServiceBusOutput

QUEUE, OUTPUT, SESSIONS, TOPIC = "contract", "contract-output", "contract-sessions", "contract-topic"


@pytest.fixture
async def listen(bus):
    """Starts listeners; what is not this test's they complete."""
    started: list[ServiceBusTrigger] = []

    async def start(entity: Entity, function: Callable[[Event], Awaitable[None]], **how) -> None:
        options = {key: how.pop(key) for key in list(how) if key not in ("is_batch", "has_sessions")}
        connection = BusConnection.parse("TheBus", bus.connection_string)
        trigger = ServiceBusTrigger("f", entity, connection, BusOptions(**options), **how)
        await trigger.start(function)
        started.append(trigger)

    yield start
    await asyncio.gather(*(trigger.stop() for trigger in started))


async def until(probe: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not await asyncio.to_thread(probe):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        await asyncio.sleep(0.05)


async def test_messages_are_run_once_and_poison_ends_in_the_dead_letters(bus, listen) -> None:
    runs: Counter[bytes] = Counter()

    async def function(event: Event) -> None:
        if event.data["CorrelationId"] == bus.tag:
            runs[event.payload] += 1
            if event.payload == b"poison":
                raise InvocationFailed("poison")

    await listen(Entity(QUEUE), function)
    bodies = [b"%d" % number for number in range(20)]
    await asyncio.to_thread(lambda: bus.send(*bodies, b"poison"))
    (dead,) = await asyncio.to_thread(lambda: bus.receive(sub_queue="deadletter"))
    await until(lambda: len(runs) == 21)
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
    bus.receiver(sub_queue="deadletter").complete_message(dead)
    assert runs.pop(b"poison") == 3
    assert set(runs.values()) == {1}
    await until(lambda: bus.peek() == [])


async def test_slow_function_keeps_its_lock(bus, listen) -> None:
    runs: list[object] = []

    async def function(event: Event) -> None:
        if event.data["CorrelationId"] == bus.tag:
            runs.append(event.data["DeliveryCount"])
            await asyncio.sleep(7)  # the queue's locks last for 5 s

    await listen(Entity(QUEUE), function)
    await asyncio.to_thread(bus.send, "slow")
    await until(lambda: runs and bus.peek() == [])
    assert runs == [1]


async def test_sessions_run_in_order(bus, listen) -> None:
    runs: defaultdict[str, list[bytes]] = defaultdict(list)

    async def function(event: Event) -> None:
        if event.data["CorrelationId"] == bus.tag:
            runs[str(event.data["SessionId"])].append(event.payload)

    bodies = [b"%d" % number for number in range(5)]
    for session in "ab":
        await asyncio.to_thread(bus.send, *bodies, to=SESSIONS, session_id=f"{bus.tag}-{session}")
    await listen(Entity(SESSIONS), function, has_sessions=True, max_sessions=2, session_idle_s=1)
    await until(lambda: sum(map(len, runs.values())) == 10)
    assert dict(runs) == {f"{bus.tag}-{session}": bodies for session in "ab"}


async def test_batches_of_a_subscription_hold_every_message(bus, listen) -> None:
    batches: list[list[bytes]] = []

    async def function(event: Event) -> None:
        tags = event.data["CorrelationIdArray"]
        assert isinstance(tags, list)
        own = [item for item, tag in zip(event.items or (), tags, strict=True) if tag == bus.tag]
        batches.extend([own] if own else [])

    await asyncio.to_thread(bus.send, *(b"%d" % number for number in range(12)), to=TOPIC, topic=True)
    entity = Entity(TOPIC, is_topic=True, subscription="everything")
    await listen(entity, function, is_batch=True, max_batch=10)
    await until(lambda: sum(map(len, batches)) == 12)
    assert {item for batch in batches for item in batch} == {b"%d" % number for number in range(12)}
    assert max(map(len, batches)) > 1


async def test_output_of_a_repeat_is_dropped(bus) -> None:
    binding = Binding("out", "servicebus", "out", {"queuename": OUTPUT})
    output = ServiceBusOutput(
        "f", binding, BusConnection.parse("TheBus", bus.connection_string), BusOptions()
    )
    source: dict[str, Json] = {
        "MessageId": uuid4().hex,
        "SequenceNumber": 7,
        "EnqueuedTimeUtc": "2024-01-01T00:00:00+00:00",
    }
    marker = bus.tag.encode()
    for _ in range(2):
        await output.write(b"x" + marker, source, content_type="text/plain")
    await output.write(b"y" + marker, {**source, "SequenceNumber": 8}, content_type="text/plain")
    await output.close()
    link = bus.receiver(OUTPUT, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE)
    found: list[bytes] = []
    deadline = time.monotonic() + 30
    while b"y" + marker not in found and time.monotonic() < deadline:
        found += [b"".join(one.body) for one in link.receive_messages(10, max_wait_time=5)]
    assert [one for one in found if one.endswith(marker)] == [b"x" + marker, b"y" + marker]
