"""What is known about each version of each blob: started, given back, done, poisoned. Codec and memory, no I/O.

A record is a kind byte and a digest. Every kind is idempotent, so that a record may be read twice (an append
repeated after a lost answer, a crash in the middle of a compaction) and mean the same: an attempt carries its
number instead of being counted.
"""

from __future__ import annotations

from collections.abc import Iterator

from fnpack_triggers.blob.digests import SIZE, DigestSet

RECORD_SIZE = 1 + SIZE
HEADER = b"\0fnpack-receipts1"  # the first record of a segment; kind 0 is ignored by readers

MAX_ATTEMPT = 0x3F
_GIVEN_BACK = 0x40  # 0x01..0x3f: attempt n started; 0x41..0x7f: attempt n given back unfinished
_DONE = 0x80
_POISONED = 0x81


def started(digest: bytes, attempt: int) -> bytes:
    """Attempt number `attempt` (from 1) is about to run."""
    return bytes((min(attempt, MAX_ATTEMPT),)) + digest


def given_back(digest: bytes, attempt: int) -> bytes:
    """Attempt number `attempt` was cut off by us; it does not count towards poison."""
    return bytes((_GIVEN_BACK | min(attempt, MAX_ATTEMPT),)) + digest


def done(digest: bytes) -> bytes:
    """The function ran and its outputs are durable."""
    return bytes((_DONE,)) + digest


def poisoned(digest: bytes) -> bytes:
    """The blob was given up and reported."""
    return bytes((_POISONED,)) + digest


class Receipts:
    """The records of every segment together. Memory: `finished` compactly, the rest only while unfinished."""

    def __init__(self) -> None:
        self._finished = DigestSet()
        self._recent: DigestSet | None = None
        self._unfinished: dict[bytes, tuple[int, frozenset[int]]] = {}

    def __len__(self) -> int:
        return len(self._finished)

    def apply(self, records: bytes) -> None:
        """Take in records; a cut-off one at the end is ignored."""
        for at in range(0, len(records) - RECORD_SIZE + 1, RECORD_SIZE):
            self._apply(records[at], records[at + 1 : at + RECORD_SIZE])

    def is_finished(self, digest: bytes) -> bool:
        """Whether the blob is done or poisoned."""
        return digest in self._finished

    def last_attempt(self, digest: bytes) -> int:
        """The number of the last attempt started, 0 for none."""
        return self._unfinished.get(digest, (0, frozenset()))[0]

    def failed_attempts(self, digest: bytes) -> int:
        """How many attempts count towards poison: started, and neither finished nor given back."""
        last, returned = self._unfinished.get(digest, (0, frozenset()))
        return last - len(returned)

    def watch(self) -> None:
        """From now on remember what changes, so that `keep` does not drop it."""
        self._recent = DigestSet()

    def keep(self, listed: DigestSet) -> Iterator[None]:
        """Forget what is older than `watch` and not in `listed`. Yields often, so that a loop can breathe."""
        recent = self._recent or DigestSet()
        self._recent = recent
        kept = DigestSet()
        for number, digest in enumerate(listed):
            if digest in self._finished:
                kept.add(digest)
            if number % 2048 == 0:
                yield
        for digest in recent:  # without a pause: nothing may finish between this and the exchange
            if digest in self._finished:
                kept.add(digest)
        self._finished = kept
        self._recent = None
        for digest in list(self._unfinished):
            if digest not in listed and digest not in recent:
                del self._unfinished[digest]

    def records(self) -> Iterator[bytes]:
        """Records that say all of this again."""
        for digest in self._finished:
            yield done(digest)
        for digest, (last, returned) in list(self._unfinished.items()):
            yield started(digest, last)
            for attempt in returned:
                yield given_back(digest, attempt)

    def _apply(self, kind: int, digest: bytes) -> None:
        if self._recent is not None:
            self._recent.add(digest)
        if kind in (_DONE, _POISONED):
            self._finished.add(digest)
            self._unfinished.pop(digest, None)
        elif 0 < kind < _DONE and kind != _GIVEN_BACK and digest not in self._finished:
            last, returned = self._unfinished.get(digest, (0, frozenset()))
            attempt = kind & MAX_ATTEMPT
            if kind > _GIVEN_BACK:
                returned |= {attempt}
            self._unfinished[digest] = (max(last, attempt), returned)
