"""Batches (`cardinality: many`) on a real AMQP broker with the real library."""

from __future__ import annotations

import asyncio
import time

import pytest

from fnpack_triggers.base import InvocationFailed


class Batches:
    """What a listener delivers to: notes each batch; fails while `fails` says so."""

    def __init__(self, delay_s: float = 0.0, *, fails: bool = False) -> None:
        self.delay_s, self.fails = delay_s, fails
        self.found: list[list[bytes]] = []
        self.counts: list[object] = []
        self.running = self.most = 0

    async def __call__(self, event) -> None:
        assert event.payload == b""
        self.found.append(list(event.items))
        self.counts.append(event.data["DeliveryCountArray"])
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.running -= 1
        if self.fails:
            raise InvocationFailed("batch")

    @property
    def messages(self) -> list[bytes]:
        return [item for batch in self.found for item in batch]


async def empty(bus, name: str) -> bool:
    return await asyncio.to_thread(bus.left, name) == 0


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


@pytest.mark.parametrize("prefetch_count", [0, 20])
async def test_what_waits_comes_in_order_up_to_the_largest_batch_one_batch_at_a_time(
    bus, listen, wait_for, prefetch_count
) -> None:
    name, function = bus.queue(), Batches(0.05)
    bus.send(name, *numbers(25))
    await listen(bus, name, function, is_batch=True, max_batch=10, prefetch_count=prefetch_count)
    await wait_for(lambda: len(function.messages) == 25)
    await wait_for(lambda: empty(bus, name))
    assert function.messages == numbers(25)
    assert [len(batch) for batch in function.found] == [10, 10, 5]
    assert function.most == 1


async def test_metadata_of_a_batch_is_a_list_for_each_name(bus, listen, wait_for) -> None:
    name, events = bus.queue(), []

    async def note(event) -> None:
        events.append(event)

    bus.send(name, b"a", b"b")
    await listen(bus, name, note, is_batch=True)
    await wait_for(lambda: events)
    (event,) = events
    assert event.data["DeliveryCountArray"] == [1, 1]
    assert len(set(event.data["MessageIdArray"])) == 2
    assert len(event.data) == 26
    assert all(name.endswith("Array") and len(value) == 2 for name, value in event.data.items())
    assert event.source == f"{name} (2 messages)"


@pytest.mark.parametrize("is_auto_complete", [True, False])
async def test_failed_batch_is_given_back_whole_until_the_broker_has_enough_of_it(
    bus, listen, wait_for, is_auto_complete
) -> None:
    name, function = bus.queue(max_deliveries=2, lock_ms=60_000), Batches(fails=True)
    bus.send(name, b"a", b"b")
    await listen(bus, name, function, is_batch=True, is_auto_complete=is_auto_complete)
    await wait_for(lambda: empty(bus, name))
    assert [sorted(batch) for batch in function.found] == [[b"a", b"b"], [b"a", b"b"]]
    assert function.counts == [[1, 1], [2, 2]]
    dead = await asyncio.to_thread(bus.take, name, 2, sub_queue="deadletter")
    assert {one.dead_letter_reason for one in dead} == {"MaxDeliveryCountExceeded"}
    assert len(dead) == 2


async def test_without_auto_complete_a_batch_comes_again(bus, listen, wait_for) -> None:
    name, function = bus.queue(lock_ms=500), Batches()
    bus.send(name, b"a", b"b")
    await listen(bus, name, function, is_batch=True, is_auto_complete=False)
    await wait_for(lambda: len(function.found) >= 2)


async def test_batch_waits_for_its_smallest_size_and_no_longer_than_the_longest_wait(
    bus, listen, wait_for
) -> None:
    name, function = bus.queue(lock_ms=2000), Batches()
    await listen(bus, name, function, is_batch=True, min_batch=3, max_batch_wait_s=4)
    bus.send(name, b"a")
    began = time.monotonic()
    bus.send(name, b"b", b"c")
    await wait_for(lambda: function.found)
    assert sorted(function.messages) == [b"a", b"b", b"c"]
    assert time.monotonic() - began < 4
    bus.send(name, b"d")
    began = time.monotonic()
    await wait_for(lambda: len(function.found) == 2)
    assert time.monotonic() - began > 2.5  # by then its lock would have run out, had it not been renewed
    assert function.found[1] == [b"d"]
    assert function.counts[1] == [1]
    await wait_for(lambda: empty(bus, name))


async def test_locks_of_a_batch_are_renewed_while_it_runs(bus, listen, wait_for) -> None:
    name, function = bus.queue(lock_ms=2000), Batches(3.5)
    bus.send(name, b"a", b"b")
    await listen(bus, name, function, is_batch=True)
    await wait_for(lambda: function.found and not function.running)
    await wait_for(lambda: empty(bus, name))
    assert function.found == [[b"a", b"b"]]


async def test_stop_runs_what_was_collected(bus, listen, wait_for) -> None:
    name, function = bus.queue(lock_ms=60_000), Batches()
    trigger = await listen(bus, name, function, is_batch=True, min_batch=10, max_batch_wait_s=100)
    bus.send(name, b"a", b"b")
    await wait_for(lambda: sum(len(lane._flights) for lane in trigger._lanes) == 2)
    await trigger.stop()
    assert function.messages == [b"a", b"b"]
    assert await empty(bus, name)


async def test_restart_of_the_broker_during_a_batch_loses_nothing_and_runs_nothing_twice(
    own_bus, listen, wait_for
) -> None:
    name, function = own_bus.queue(lock_ms=1500), Batches(2.0)
    own_bus.send(name, *numbers(5))
    await listen(own_bus, name, function, is_batch=True, delay_s=0.1)
    await wait_for(lambda: function.running)
    await asyncio.to_thread(own_bus.running.stop)
    await asyncio.to_thread(own_bus.restart, name, 1500)
    await wait_for(lambda: empty(own_bus, name), 30)
    assert function.found == [numbers(5)]


async def test_function_of_batches_can_be_started_by_hand(bus, listen) -> None:
    function = Batches()
    trigger = await listen(bus, bus.queue(), function, is_batch=True)
    await trigger.start_by_hand("text")
    assert function.found == [[b"text"]]
