"""Receipts: records that may be read twice, in batches, through crashes and compaction, without a loss."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fnpack_triggers.blob import receipts
from fnpack_triggers.blob.digests import DigestSet, blob_digest
from fnpack_triggers.blob.faults import Patience, StorageUnavailable
from fnpack_triggers.blob.listing import ListedBlob
from fnpack_triggers.blob.memory import MemoryState
from fnpack_triggers.blob.receipts import HEADER, Receipts
from fnpack_triggers.blob.segments import FOLDER, Segments

A, B, C = (blob_digest("box", name, "1") for name in "abc")
RECORDS = st.lists(
    st.builds(
        lambda kind, digest, attempt: (
            kind(digest) if kind in (receipts.done, receipts.poisoned) else kind(digest, attempt)
        ),
        st.sampled_from([receipts.done, receipts.poisoned, receipts.started, receipts.given_back]),
        st.sampled_from([A, B, C]),
        st.integers(1, 6),
    ),
    max_size=20,
)


def facts(known: Receipts) -> list[tuple[bool, int, int]]:
    return [(known.is_finished(d), known.last_attempt(d), known.failed_attempts(d)) for d in (A, B, C)]


class BreakingState(MemoryState):
    """Fails one call, before or after it took effect."""

    def break_at(self, call: int, *, after: bool) -> None:
        self._left, self._after = call, after

    async def _breaking(self, work: object) -> object:
        self._left = getattr(self, "_left", -1) - 1
        if self._left == -1 and not self._after:
            work.close()  # type: ignore[attr-defined]
            raise StorageUnavailable("cut off before")
        result = await work  # type: ignore[misc]
        if self._left == -1:
            raise StorageUnavailable("cut off after")
        return result

    async def create_log(self, name: str) -> None:
        await self._breaking(super().create_log(name))

    async def append(self, name: str, data: bytes, position: int) -> None:
        await self._breaking(super().append(name, data, position))

    async def put(self, name: str, data: bytes, *, overwrite: bool = True) -> None:
        await self._breaking(super().put(name, data, overwrite=overwrite))

    async def delete(self, name: str, etag: str = "") -> None:
        await self._breaking(super().delete(name, etag))


@contextmanager
def writing(segments: Segments) -> Iterator[Segments]:
    segments.start()
    try:
        yield segments
    finally:
        segments._writer.cancel()  # type: ignore[union-attr]


def host(state: MemoryState, name: str, **options: int) -> Segments:
    return Segments(state, name, Patience("test"), **options)


async def reader(state: MemoryState) -> Receipts:
    fresh = host(state, "reader")
    await fresh.read_tails()
    return fresh.receipts


async def leave_behind(state: MemoryState, count: int = 4) -> list[bytes]:
    """As many dead hosts, each with one blob done and one begun."""
    finished = []
    for number in range(count):
        digest = blob_digest("box", f"done{number}", "1")
        with writing(host(state, f"dead{number}")) as segments:
            await segments.append(receipts.started(A, number + 1))
            await segments.append(receipts.done(digest))
        finished.append(digest)
    return finished


async def test_a_fault_that_nobody_foresaw_ends_no_writing(caplog: pytest.LogCaptureFixture) -> None:
    class FaultyOnce(MemoryState):
        faults = 0

        async def append(self, name: str, data: bytes, position: int) -> None:
            if not FaultyOnce.faults:
                FaultyOnce.faults += 1
                raise RuntimeError("session is closed")
            await super().append(name, data, position)

    state = FaultyOnce()
    with writing(host(state, "a")) as segments:
        await segments.append(receipts.done(A))
    assert (await reader(state)).is_finished(A)
    assert "trying again" in caplog.text


@given(RECORDS, st.integers(0, 16))
def test_records_read_twice_or_cut_off_mean_the_same(records: list[bytes], cut: int) -> None:
    once, twice = Receipts(), Receipts()
    data = b"".join(records)
    once.apply(data)
    twice.apply(HEADER + data + data[: len(data) // 17 * 17] + receipts.done(A)[:cut])
    assert facts(once) == facts(twice)


@given(RECORDS)
def test_what_is_known_can_be_said_again(records: list[bytes]) -> None:
    first, second = Receipts(), Receipts()
    first.apply(b"".join(records))
    second.apply(b"".join(first.records()))
    assert facts(first) == facts(second)


def test_an_attempt_given_back_does_not_count() -> None:
    known = Receipts()
    known.apply(
        receipts.started(A, 1) + receipts.started(A, 2) + receipts.given_back(A, 2) + receipts.started(A, 3)
    )
    assert (known.last_attempt(A), known.failed_attempts(A)) == (3, 2)


async def test_an_append_is_done_once_others_can_read_it() -> None:
    state = MemoryState()
    with writing(host(state, "one")) as segments:
        await segments.append(receipts.done(A))
        assert (await reader(state)).is_finished(A)
        assert segments.receipts.is_finished(A)


async def test_what_is_appended_together_goes_in_one_block() -> None:
    state = MemoryState()
    with writing(host(state, "one")) as segments:
        await asyncio.gather(
            *(segments.append(receipts.done(blob_digest("box", str(n), "1"))) for n in range(500))
        )
    (segment,) = state.blobs.values()
    assert segment.blocks == 1


async def test_a_full_segment_rolls_over() -> None:
    state = MemoryState()
    with writing(host(state, "one", max_blocks=2)) as segments:
        for digest in (A, B, C):
            await segments.append(receipts.done(digest))
    assert len(state.blobs) == 2
    known = await reader(state)
    assert all(known.is_finished(digest) for digest in (A, B, C))


async def test_a_segment_that_storage_calls_full_or_lost_sooner_rolls_over_too() -> None:
    state = MemoryState(block_limit=1)
    with writing(host(state, "one")) as segments:
        await segments.append(receipts.done(A))
        await segments.append(receipts.done(B))
        state.blobs.clear()
        await segments.append(receipts.done(C))
    assert (await reader(state)).is_finished(C)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", range(4))
async def test_a_lost_answer_neither_loses_nor_doubles_a_record(call: int, after: bool) -> None:
    state = BreakingState()
    state.break_at(call, after=after)
    with writing(host(state, "one")) as segments:
        for digest in (A, B, C):
            await segments.append(receipts.done(digest))
    known = await reader(state)
    assert all(known.is_finished(digest) for digest in (A, B, C))
    assert len(state.blobs) == 1
    assert len(next(iter(state.blobs.values())).data) == len(HEADER) + 3 * 17


async def test_stop_writes_what_is_waiting() -> None:
    state = MemoryState()
    segments = host(state, "one")
    segments.start()
    segments.append(receipts.done(A))
    await segments.stop(5)
    assert (await reader(state)).is_finished(A)


async def test_compaction_keeps_every_receipt_of_a_listed_blob_in_one_segment() -> None:
    state = MemoryState()
    finished = await leave_behind(state)
    segments = host(state, "alive")
    await segments.read_tails()
    assert segments.wants_compaction({"alive"})
    await compact(segments, [*finished[1:], A])
    assert len(state.blobs) == 1
    known = await reader(state)
    assert [known.is_finished(digest) for digest in finished] == [False, True, True, True]
    assert known.last_attempt(A) == 4
    assert not segments.receipts.is_finished(finished[0])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 5), st.booleans())
def test_a_crash_anywhere_in_a_compaction_loses_no_receipt(call: int, after: bool) -> None:
    async def scenario() -> None:
        state = BreakingState()
        finished = await leave_behind(state)
        before = facts(await reader(state))
        segments = host(state, "alive")
        await segments.read_tails()
        state.break_at(call, after=after)
        with suppress(StorageUnavailable):
            await compact(segments, [*finished, A])
        known = await reader(state)
        assert all(known.is_finished(digest) for digest in finished)
        assert facts(known) == before

    asyncio.run(scenario())


async def test_a_segment_that_grows_during_compaction_stays() -> None:
    state = MemoryState()
    finished = await leave_behind(state)
    late = blob_digest("box", "late", "1")
    segments = host(state, "alive")
    await segments.read_tails()
    replaced = segments.left_behind({"alive"})
    segments.receipts.watch()
    name = FOLDER + "dead0-000000"
    await state.append(name, receipts.done(late), len(state.blobs[name].data))  # it was only asleep
    await segments.compact(replaced, digest_set([*finished, A]))
    known = await reader(state)
    assert known.is_finished(late)
    assert all(known.is_finished(digest) for digest in finished)


async def test_what_finishes_during_the_pass_survives_a_compaction_that_did_not_list_it() -> None:
    state = MemoryState()
    finished = await leave_behind(state)
    with writing(host(state, "alive")) as segments:
        await segments.read_tails()
        replaced = segments.left_behind({"alive"})
        segments.receipts.watch()
        await segments.append(receipts.done(B))
        await segments.append(receipts.started(C, 1))
        await segments.compact(replaced, digest_set(finished))
        assert segments.receipts.is_finished(B)
        assert segments.receipts.last_attempt(C) == 1


async def test_segments_of_live_hosts_are_left_alone() -> None:
    state = MemoryState()
    await leave_behind(state)
    segments = host(state, "alive")
    await segments.read_tails()
    assert set(segments.left_behind({"alive", "dead1"})) == {f"dead{n}-000000" for n in (0, 2, 3)}


async def test_a_segment_replaced_while_it_is_read_is_read_in_its_heir() -> None:
    class Replacing(MemoryState):
        async def list(self, folder: str) -> tuple[list[ListedBlob], float]:
            listed = await super().list(folder)
            if FOLDER + "dead0-000000" in self.blobs:
                self.blobs[FOLDER + "compacted-x"] = self.blobs.pop(FOLDER + "dead0-000000")
            return listed

    state = Replacing()
    finished = await leave_behind(state, 1)
    assert (await reader(state)).is_finished(finished[0])


async def compact(segments: Segments, listed: list[bytes]) -> None:
    replaced = segments.left_behind({"alive"})
    segments.receipts.watch()
    await segments.compact(replaced, digest_set(listed))


def digest_set(digests: list[bytes]) -> DigestSet:
    result = DigestSet()
    for digest in digests:
        result.add(digest)
    return result
