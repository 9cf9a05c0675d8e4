"""The SDK's asynchronous clients, as the function host uses them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusError

if TYPE_CHECKING:
    from fnpack.devbus.thread import DevBusThread

# the SDK leaves the sockets of connections that broke to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def left_behind() -> Iterator[None]:
    """Collect them here, where they are expected."""
    yield
    gc.collect()


def connect(bus: DevBusThread, **options: Any) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(bus.connection_string, **{"try_timeout": 10, **options})


async def test_messages_sent_and_received_at_once_arrive_once_each(bus, name: str) -> None:
    bus.ensure_queue(name)
    found: list[str] = []

    async def receive(client: ServiceBusClient) -> None:
        async with client.get_queue_receiver(name, max_wait_time=2, prefetch_count=10) as receiver:
            async for message in receiver:
                await receiver.complete_message(message)
                found.append(str(message))

    async with connect(bus) as client:
        receivers = [asyncio.create_task(receive(client)) for _ in range(3)]
        async with client.get_queue_sender(name) as sender:
            for start in range(0, 200, 50):
                await sender.send_messages([ServiceBusMessage(str(start + number)) for number in range(50)])
        await asyncio.gather(*receivers)
    assert sorted(map(int, found)) == list(range(200))


async def test_every_outcome_is_confirmed(bus, name: str) -> None:
    bus.ensure_queue(name)
    async with (
        connect(bus) as client,
        client.get_queue_sender(name) as sender,
        client.get_queue_receiver(name, max_wait_time=10) as receiver,
    ):
        await sender.send_messages([ServiceBusMessage(str(number)) for number in range(4)])
        for settle in ("complete_message", "defer_message", "dead_letter_message"):
            (message,) = await receiver.receive_messages(1)
            await getattr(receiver, settle)(message)
        (message,) = await receiver.receive_messages(1)
        await receiver.abandon_message(message)
        (message,) = await receiver.receive_messages(1)
        await receiver.renew_message_lock(message)
        await receiver.complete_message(message)
        assert (str(message), message.delivery_count) == ("3", 1)
        assert [str(one) for one in await receiver.peek_messages(5, sequence_number=1)] == ["1"]


async def test_clients_go_on_after_all_connections_were_dropped(bus, name: str) -> None:
    bus.ensure_queue(name)
    async with (
        connect(bus, retry_backoff_factor=0.1) as client,
        client.get_queue_sender(name) as sender,
        client.get_queue_receiver(name, max_wait_time=10) as receiver,
    ):
        await sender.send_messages(ServiceBusMessage("before"))
        (message,) = await receiver.receive_messages(1)
        await receiver.complete_message(message)
        assert bus.call(lambda service: service.drop_connections()) == 2
        await sender.send_messages(ServiceBusMessage("after"))
        (message,) = await receiver.receive_messages(1)
        await receiver.complete_message(message)
        assert str(message) == "after"


async def test_a_session_is_held_and_kept(bus, name: str) -> None:
    from fnpack.devbus.entities.settings import QueueSettings

    bus.ensure_queue(name, QueueSettings(requires_session=True))
    async with connect(bus) as client, client.get_queue_sender(name) as sender:
        await sender.send_messages(ServiceBusMessage("x", session_id="s"))
        async with client.get_queue_receiver(name, session_id="s", max_wait_time=10) as receiver:
            await receiver.session.set_state(b"state")
            (message,) = await receiver.receive_messages(1)
            await receiver.session.renew_lock()
            await receiver.complete_message(message)
            assert await receiver.session.get_state() == b"state"


async def test_a_closed_port_is_an_error_in_time(bus, name: str) -> None:
    gone = bus.connection_string.replace(f":{bus.port};", ":1;")
    options: dict[str, Any] = {"retry_total": 0, "try_timeout": 3}
    async with ServiceBusClient.from_connection_string(gone, **options) as client:
        with pytest.raises(ServiceBusError):
            await client.get_queue_sender(name).send_messages(ServiceBusMessage("x"))
