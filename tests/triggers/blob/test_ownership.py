"""Partitions: who holds them, when they change hands, and when a holder must not rely on them."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from fnpack_triggers.blob.faults import ConflictError, Patience, StorageUnavailable
from fnpack_triggers.blob.memory import MemoryState
from fnpack_triggers.blob.ownership import PARTITIONS, Ownership, partition_of
from fnpack_triggers.blob.state import AzureState


class Reads:
    """Counts how often receipts were read."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


class LosesAnswers(MemoryState):
    """Takes a lease, but its answer does not arrive."""

    is_losing = True

    async def acquire(self, name: str, duration_s: int, lease: str = "") -> str:
        taken = await super().acquire(name, duration_s, lease)
        if self.is_losing:
            raise StorageUnavailable("the answer is lost")
        return taken


class Hangs(MemoryState):
    """Never answers."""

    async def put(self, name: str, data: bytes, *, overwrite: bool = True) -> None:
        await asyncio.Event().wait()


def host(state: MemoryState, name: str) -> Ownership:
    return Ownership(state, name, Patience("test"), Reads())


async def ticks(*hosts: Ownership, times: int = 1) -> None:
    for _ in range(times):
        for one in hosts:
            await one.tick()


def test_partitions_of_blob_names_never_change() -> None:
    assert [partition_of(name) for name in ("", "a", "b", "input/ü.json")] == [14, 14, 11, 2]


async def test_a_single_host_takes_everything_at_once() -> None:
    one = host(MemoryState(), "one")
    await one.tick()
    assert sorted(one.partitions) == list(range(PARTITIONS))


async def test_receipts_are_read_after_leases_are_taken_and_before_they_are_used() -> None:
    state, owned = MemoryState(), []

    async def read() -> None:
        owned.append(
            (len(one.partitions), sum(blob.lease_end > state.clock() for blob in state.blobs.values()))
        )

    one = Ownership(state, "one", Patience("test"), read)
    await one.tick()
    assert owned == [(0, PARTITIONS)]
    assert len(one.partitions) == PARTITIONS


@pytest.mark.parametrize(
    ("count", "shares"), [(2, [8, 8]), (3, [4, 6, 6]), (5, [0, 4, 4, 4, 4]), (16, [1] * 16)]
)
async def test_hosts_settle_on_fair_shares_that_never_overlap(count: int, shares: list[int]) -> None:
    state = MemoryState()
    hosts = [host(state, f"host{n}") for n in range(count)]
    for rounds in range(4):
        await ticks(*hosts)
        held = [number for one in hosts for number in one.partitions]
        assert len(held) == len(set(held)), rounds
    assert sorted(len(one.partitions) for one in hosts) == shares


async def test_a_partition_with_blobs_in_flight_is_given_back_after_they_are_settled() -> None:
    state = MemoryState()
    first, second = host(state, "first"), host(state, "second")
    await first.tick()
    for number in range(PARTITIONS):
        first.enter(number)
    await ticks(second, first, second)
    assert len(first.partitions) == 8  # the others take nothing new
    assert second.partitions == []
    for number in range(PARTITIONS):
        first.leave(number)
    await ticks(first, second)
    assert len(second.partitions) == 8


async def test_the_partitions_of_a_dead_host_are_taken_when_its_leases_end() -> None:
    state = MemoryState()
    await host(state, "dead").tick()
    living = host(state, "living")
    await living.tick()
    assert living.partitions == []
    state.clock_ahead_s = 31
    await ticks(living, times=2)
    assert len(living.partitions) == PARTITIONS


async def test_a_stop_gives_everything_back_at_once() -> None:
    state = MemoryState()
    first, second = host(state, "first"), host(state, "second")
    await first.start()
    await first.stop()
    await second.tick()
    assert len(second.partitions) == PARTITIONS
    assert second.alive == {"second"}


async def test_a_lease_that_went_to_another_is_no_longer_relied_on() -> None:
    state = MemoryState()
    one = host(state, "one")
    await one.tick()
    age(one, 11)
    state.blobs["partitions/3"].lease = "another's"
    state.blobs["partitions/3"].lease_end = state.clock() + 30
    await one.tick()
    assert not one.owns(3)
    assert len(one.partitions) == PARTITIONS - 1


async def test_a_lease_not_renewed_in_time_is_not_relied_on_until_it_is() -> None:
    state = MemoryState()
    one = host(state, "one")
    await one.tick()
    age(one, 21)
    assert one.partitions == []
    await one.tick()
    assert len(one.partitions) == PARTITIONS


async def test_a_lease_whose_answer_was_lost_is_taken_again_at_once() -> None:
    state = LosesAnswers()
    one = host(state, "one")
    with pytest.raises(StorageUnavailable):
        await one.tick()
    assert one.partitions == []
    state.is_losing = False
    await one.tick()
    assert len(one.partitions) == PARTITIONS


@pytest.mark.parametrize("is_real", [False, True])
async def test_a_lease_can_be_taken_twice_under_one_id_and_not_under_another(is_real: bool, box) -> None:
    state = AzureState(box.service, f"test/{box.host_id}/") if is_real else MemoryState()
    await state.open()
    await state.put("partitions/1", b"")
    mine, other = str(uuid.uuid4()), str(uuid.uuid4())
    assert [await state.acquire("partitions/1", 15, mine) for _ in range(2)] == [mine, mine]
    with pytest.raises(ConflictError):
        await state.acquire("partitions/1", 15, other)
    await state.release("partitions/1", mine)
    assert await state.acquire("partitions/1", 15, other) == other


async def test_a_lease_whose_answer_was_lost_is_given_back_at_a_stop() -> None:
    state = LosesAnswers()
    one = host(state, "one")
    with pytest.raises(StorageUnavailable):
        await one.tick()
    state.is_losing = False
    await one.stop()
    second = host(state, "second")
    await second.tick()
    assert len(second.partitions) == PARTITIONS


async def test_a_call_that_hangs_is_given_up_well_within_a_lease() -> None:
    one = Ownership(Hangs(), "one", Patience("test"), Reads(), lease_s=1)
    since = time.monotonic()
    with pytest.raises(StorageUnavailable):
        await one.tick()
    assert time.monotonic() - since < 1


async def test_announcements_of_the_long_dead_are_swept() -> None:
    state = MemoryState()
    await host(state, "dead").tick()
    state.clock_ahead_s = 601
    await host(state, "living").tick()
    assert [name for name in state.blobs if name.startswith("hosts/")] == ["hosts/living"]


def age(one: Ownership, seconds: float) -> None:
    """As if this host had been frozen for so long."""
    for held in one._held.values():
        held.renewed_at -= seconds
    one._touched_at -= seconds
