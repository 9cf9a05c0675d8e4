"""Sessions on a real AMQP broker with the real library: in order, one holder each, let go when they are idle."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

import pytest
from azure.servicebus import ServiceBusMessage

from fnpack_triggers.base import InvocationFailed
from fnpack_triggers.service_bus.faults import SessionMismatch

# azure-servicebus leaves the sockets of receivers that found no session to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Sessions:
    """What a listener delivers to: notes what runs in each session, and how much at once."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.found: defaultdict[str, list[bytes]] = defaultdict(list)
        self.running: defaultdict[str, int] = defaultdict(int)
        self.most_in_session = self.most_sessions = 0
        self.failures: dict[bytes, int] = {}

    async def __call__(self, event) -> None:
        session = event.data.get("SessionId") or event.data["SessionIdArray"][0]
        if event.items is not None:
            assert set(event.data["SessionIdArray"]) == {session}
        self.found[session] += [event.payload] if event.items is None else event.items
        self.running[session] += 1
        self.most_in_session = max(self.most_in_session, self.running[session])
        self.most_sessions = max(self.most_sessions, sum(count > 0 for count in self.running.values()))
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.running[session] -= 1
        if self.failures.get(event.payload, 0):
            self.failures[event.payload] -= 1
            raise InvocationFailed("session")

    @property
    def total(self) -> int:
        return sum(map(len, self.found.values()))


def queue_with(bus, sessions: str, count: int, lock_ms: int = 5000, **settings) -> str:
    name = bus.queue(lock_ms, requires_session=True, **settings)
    bus.send(
        name,
        *(
            ServiceBusMessage(b"%d" % number, session_id=session)
            for number in range(count)
            for session in sessions
        ),
    )
    return name


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def empty(bus, name: str) -> bool:
    return await asyncio.to_thread(bus.left, name) == 0


async def test_sessions_run_side_by_side_and_each_in_order(bus, listen, wait_for) -> None:
    name, function = queue_with(bus, "abc", 6), Sessions(0.2)
    await listen(
        bus, name, function, has_sessions=True, max_sessions=2, session_idle_s=0.3, prefetch_count=10
    )
    await wait_for(lambda: function.total == 18)
    await wait_for(lambda: empty(bus, name))
    assert dict(function.found) == {session: numbers(6) for session in "abc"}
    assert (function.most_in_session, function.most_sessions) == (1, 2)


async def test_failed_message_comes_again_before_those_behind_it(bus, listen, wait_for) -> None:
    name, function = queue_with(bus, "a", 4), Sessions()
    function.failures = {b"1": 2}
    await listen(bus, name, function, has_sessions=True, prefetch_count=10)
    await wait_for(lambda: function.total == 6)
    assert function.found["a"] == [b"0", b"1", b"1", b"1", b"2", b"3"]
    await wait_for(lambda: empty(bus, name))


async def test_poison_of_a_session_is_dead_lettered_and_the_session_goes_on(bus, listen, wait_for) -> None:
    name, function = queue_with(bus, "a", 3, max_deliveries=2), Sessions()
    function.failures = {b"1": 9}
    await listen(bus, name, function, has_sessions=True)
    await wait_for(lambda: empty(bus, name))
    assert function.found["a"] == [b"0", b"1", b"1", b"2"]
    (dead,) = await asyncio.to_thread(bus.take, name, 1, sub_queue="deadletter")
    assert (dead.session_id, dead.dead_letter_reason) == ("a", "MaxDeliveryCountExceeded")


async def test_as_many_messages_of_a_session_run_at_once_as_allowed(bus, listen, wait_for) -> None:
    name, function = queue_with(bus, "a", 12), Sessions(0.1)
    await listen(bus, name, function, has_sessions=True, max_sessions=2, max_calls_per_session=3)
    await wait_for(lambda: function.total == 12)
    assert function.most_in_session == 3
    assert sorted(function.found["a"]) == sorted(numbers(12))


async def test_lock_of_a_session_is_renewed_while_a_message_runs_and_while_it_waits(
    bus, listen, wait_for, caplog
) -> None:
    name, function = queue_with(bus, "a", 2, lock_ms=2000), Sessions(2.5)
    await listen(bus, name, function, has_sessions=True, max_sessions=1, session_idle_s=3)
    await wait_for(lambda: empty(bus, name))
    bus.send(name, ServiceBusMessage(b"2", session_id="a"))
    await wait_for(lambda: function.total == 3)
    assert function.found["a"] == numbers(3)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_lost_session_is_told_and_its_message_not_run_twice(bus, listen, wait_for, caplog) -> None:
    name, function = queue_with(bus, "a", 2, lock_ms=2000), Sessions(1.5)
    await listen(bus, name, function, has_sessions=True, max_sessions=2, delay_s=0.1)
    await wait_for(lambda: function.running["a"])
    bus.running.call(lambda service: service.lose_session(name, "a"))
    await wait_for(lambda: empty(bus, name), 30)
    assert function.found["a"] == numbers(2)
    assert function.most_in_session == 1
    assert "lost" in caplog.text or "ran out" in caplog.text


async def test_stop_lets_go_of_the_session_at_once(bus, listen, wait_for) -> None:
    name, function = queue_with(bus, "a", 5, lock_ms=60_000), Sessions(0.3)
    trigger = await listen(bus, name, function, has_sessions=True)
    await wait_for(lambda: function.total == 1)
    await trigger.stop()
    done = function.total
    rest = await asyncio.to_thread(bus.take, name, 5, session_id="a", wait_s=1)
    assert [b"".join(one.body) for one in rest] == numbers(5)[done:]
    assert {one.delivery_count for one in rest} == {0}


async def test_two_listeners_share_the_sessions(bus, listen, wait_for) -> None:
    name, functions = queue_with(bus, "abcdef", 4), [Sessions(0.1), Sessions(0.1)]
    for function in functions:
        await listen(bus, name, function, has_sessions=True, max_sessions=1, session_idle_s=0.2)
    await wait_for(lambda: sum(function.total for function in functions) == 24, 40)
    found = [function.found for function in functions]
    assert all(found)
    for session in "abcdef":
        (holder,) = [one for one in found if session in one]
        assert holder[session] == numbers(4)


async def test_batch_holds_messages_of_one_session_in_order(bus, listen, wait_for) -> None:
    name, function = queue_with(bus, "ab", 7), Sessions()
    await listen(bus, name, function, has_sessions=True, is_batch=True, max_batch=5, session_idle_s=0.2)
    await wait_for(lambda: function.total == 14)
    assert dict(function.found) == {"a": numbers(7), "b": numbers(7)}
    assert function.most_sessions == 1
    await wait_for(lambda: empty(bus, name))


async def test_session_that_comes_after_a_long_silence_is_found(bus, listen, wait_for) -> None:
    name, function = bus.queue(requires_session=True), Sessions()
    await listen(bus, name, function, has_sessions=True, max_sessions=1, try_timeout_s=1.0)
    await asyncio.sleep(2)  # several waits for a session end without one
    bus.send(name, ServiceBusMessage(b"0", session_id="late"))
    await wait_for(lambda: function.total == 1)


@pytest.mark.parametrize("has_sessions", [True, False])
async def test_entity_that_does_not_fit_the_binding_fails_the_start(bus, listen, has_sessions) -> None:
    name = bus.queue(requires_session=not has_sessions)
    with pytest.raises(SessionMismatch, match="sessions") as caught:
        await listen(bus, name, Sessions(), has_sessions=has_sessions)
    assert "isSessionsEnabled" in str(caught.value.hint)
