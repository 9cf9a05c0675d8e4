"""The blob trigger: finds the blobs of its path again and again, and has each run once by one host."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

from fnpack_triggers.base import Binding, BlobEvent, Deliver
from fnpack_triggers.blob.account import open_blobs
from fnpack_triggers.blob.digests import DigestSet, blob_digest
from fnpack_triggers.blob.faults import (
    NotFoundError,
    Patience,
    StorageRefused,
    StorageUnavailable,
    at_start,
)
from fnpack_triggers.blob.listing import Page, list_page
from fnpack_triggers.blob.options import BlobOptions
from fnpack_triggers.blob.ownership import Ownership, partition_of
from fnpack_triggers.blob.pattern import parse_trigger_path
from fnpack_triggers.blob.poison import PoisonQueue
from fnpack_triggers.blob.runs import BlobRuns, Candidate
from fnpack_triggers.blob.segments import Segments
from fnpack_triggers.blob.state import AzureState
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import BindingError

_log = logging.getLogger("fnpack.triggers.blob")

_MIN_INTERVAL_S = 0.25
_MAX_INTERVAL_S = 2.0
_START_PATIENCE_S = 30.0
_SLOW_PAGE_S = 1.0  # what an answer takes longer is storage's trouble, not the cost of listing
_ADMITTED_PER_SLOT = 4  # blobs taken from the listing ahead of a free slot: this bounds memory
_CLOSING_S = 5.0


class BlobTrigger:
    """The listener of one blob-triggered function. Raises PatternError when the binding's path is not one.

    `trigger` is the account of the blobs, `state` the one where hosts keep receipts and leases, `poison` the one with
    the queue of blobs that were given up (default: the trigger's). Listeners with the same `host_id` and function,
    in any process or machine, share the work.
    """

    def __init__(  # noqa: PLR0917 - what it is, whose it is, where it is
        self,
        function: str,
        binding: Binding,
        host_id: str,
        trigger: StorageConnection,
        state: StorageConnection,
        options: BlobOptions | None = None,
        *,
        poison: StorageConnection | None = None,
    ) -> None:
        self.pattern = parse_trigger_path(binding.text("path"))
        self.function = function
        self._host_id = host_id
        self._trigger, self._state, self._poison = trigger, state, poison or trigger
        self._options = options or BlobOptions()
        self._resources = AsyncExitStack()
        self._stopping = asyncio.Event()
        self._hint = asyncio.Event()  # something was written: look now
        self._discovery: asyncio.Task[None] | None = None
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._admission = asyncio.Semaphore(self._options.max_degree_of_parallelism * _ADMITTED_PER_SLOT)
        self._is_absent = False
        self._waited_s = 0.0

    async def start(self, deliver: Deliver) -> None:
        """Reach both accounts, read the receipts, take a share of the blobs, and begin.

        Raises ConnectionSettingError when an account refuses the key, and ServiceError when one does not answer
        within 30 seconds.
        """
        try:
            await self._open(deliver)
        except BaseException:
            await self._resources.aclose()
            raise
        self._discovery = asyncio.create_task(self._discover_forever(), name=f"fnpack-blob-{self.function}")

    async def stop(self, grace_s: float = 25.0) -> None:
        """Find nothing new, let blobs in flight finish for `grace_s`, give back the rest, release the leases."""
        if self._discovery is None:
            return
        discovery, self._discovery = self._discovery, None
        self._stopping.set()
        discovery.cancel()
        await asyncio.gather(discovery, return_exceptions=True)
        running = list(self._in_flight.values())
        if running:
            _, unfinished = await asyncio.wait(running, timeout=grace_s)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
            if unfinished:
                _log.warning("function `%s`: %d blobs given back unfinished", self.function, len(unfinished))
        await self._resources.aclose()

    async def take(self, event: BlobEvent) -> None:
        """Look now instead of after the pause. Nothing has to be kept: what is looked at is the container itself."""
        if event.container == self.pattern.container and self.pattern.match(event.name) is not None:
            self._hint.set()

    async def start_by_hand(self, text: str) -> None:
        """Run the function once for the blob `container/name`, whether or not it has been run before.

        Raises BindingError where there is no such blob, or where it is not one of the trigger's.
        """
        container, _, name = text.strip().partition("/")
        captures = self.pattern.match(name) if container == self.pattern.container else None
        if captures is None:
            raise BindingError(f"`{text}` does not match the trigger's path `{self.pattern.text}`")
        page = await self._patience.run(lambda: list_page(self._container, name))
        for listed, etag, blob_type in page.keys():  # noqa: SIM118 - a page is no mapping
            if listed == name:
                blob = Candidate(
                    container, name, etag, blob_type, blob_digest(container, name, etag), captures
                )
                await self._runs.once(blob)
                return
        raise BindingError(f"there is no blob `{text}` in storage account `{self._trigger.account}`")

    # --- opening ---

    async def _open(self, deliver: Deliver) -> None:
        patience = Patience(self._trigger.account)
        state_patience = (
            patience if self._state.account == self._trigger.account else Patience(self._state.account)
        )
        blobs = await self._resources.enter_async_context(open_blobs(self._trigger))
        state_service = blobs
        if self._state != self._trigger:
            state_service = await self._resources.enter_async_context(open_blobs(self._state))
        state = AzureState(state_service, f"fnpack/blobtrigger/{self._host_id}/{self.function}/")
        instance = uuid.uuid4().hex
        self._patience, self._state_patience = patience, state_patience
        self._container = blobs.get_container_client(self.pattern.container)
        self._segments = Segments(state, instance, state_patience)
        self._ownership = Ownership(
            state, instance, state_patience, self._segments.read_tails, self._options.lease_s
        )
        try:
            await patience.run(self._look, limit_s=_START_PATIENCE_S)
        except (StorageRefused, StorageUnavailable) as exc:
            raise at_start(exc, self._trigger.setting) from exc
        try:
            await state_patience.run(state.open, limit_s=_START_PATIENCE_S)
            self._segments.start()
            self._resources.push_async_callback(self._segments.stop, _CLOSING_S)
            self._resources.push_async_callback(self._close_ownership)
            await state_patience.run(self._ownership.start, limit_s=_START_PATIENCE_S)
        except (StorageRefused, StorageUnavailable) as exc:
            raise at_start(exc, self._state.setting) from exc
        self._runs = BlobRuns(
            blobs,
            self._segments,
            PoisonQueue(self._poison, self.function),
            deliver,
            self._options.poison_blob_threshold,
            asyncio.Semaphore(self._options.max_degree_of_parallelism),
            self._stopping,
            patience,
            state_patience,
        )

    async def _look(self) -> None:
        """Whether the account lets us list: says so at start, not at the first pass."""
        try:
            await list_page(self._container, self.pattern.prefix, page_size=1)
        except NotFoundError:
            self._note_absent()

    async def _close_ownership(self) -> None:
        try:
            await asyncio.wait_for(self._ownership.stop(), _CLOSING_S)
        except (asyncio.TimeoutError, StorageRefused, StorageUnavailable):
            _log.warning("function `%s`: leases could not be released; they end by themselves", self.function)

    # --- discovery ---

    async def _discover_forever(self) -> None:
        interval_s = _MIN_INTERVAL_S
        while True:
            started, self._waited_s = time.monotonic(), 0.0
            try:
                is_active = await self._pass()
            except (StorageRefused, StorageUnavailable) as exc:
                self._state_patience.lost(exc)
                is_active = False
            except Exception:
                _log.exception("function `%s`: a pass over the container failed; trying again", self.function)
                is_active = False
            spent_s = time.monotonic() - started - self._waited_s
            interval_s = _MIN_INTERVAL_S if is_active else min(interval_s * 1.5, _MAX_INTERVAL_S)
            # At least as long as a pass took: half of the time at most goes into listing. Waiting does not count,
            # or a pass that storage held up would be followed by a pause as long.
            await self._pause(max(interval_s, spent_s) * random.uniform(0.9, 1.1))  # noqa: S311 - jitter

    async def _pass(self) -> bool:
        """Look at every blob below the prefix once; True if there was something to run."""
        reading_since = time.monotonic()
        await self._state_patience.run(self._segments.read_tails)
        self._waited_s += time.monotonic() - reading_since
        replaced = self._replaceable()
        listed = DigestSet() if replaced else None
        if replaced:
            self._segments.receipts.watch()
        is_active = False
        try:
            async for page in self._pages():
                is_active |= await self._look_through(page, listed)
        except NotFoundError:
            self._note_absent()
            return False
        if self._is_absent:
            self._is_absent = False
            _log.warning("container `%s` is there now", self.pattern.container)
        if replaced and listed is not None:
            await self._segments.compact(replaced, listed)
        return is_active

    async def _pages(self) -> AsyncIterator[Page]:
        marker = ""
        while True:
            asked_at = time.monotonic()
            page = await self._patience.run(
                lambda marker=marker: list_page(self._container, self.pattern.prefix, marker)  # type: ignore[misc]
            )
            self._waited_s += max(0.0, time.monotonic() - asked_at - _SLOW_PAGE_S)
            yield page
            marker = page.next_marker
            if not marker:
                return

    async def _look_through(self, page: Page, listed: DigestSet | None) -> bool:
        container, found = self.pattern.container, False
        is_finished = self._segments.receipts.is_finished
        for number, (name, etag, blob_type) in enumerate(page.keys(), start=1):
            digest = blob_digest(container, name, etag)
            if listed is not None:
                listed.add(digest)
            if number % 1000 == 0:
                await asyncio.sleep(0)  # the HTTP front shares this loop
            if is_finished(digest) or name in self._in_flight:
                continue
            captures = self.pattern.match(name)
            if captures is None or not self._ownership.owns(partition_of(name)):
                continue
            found = True
            await self._admit(Candidate(container, name, etag, blob_type, digest, captures))
        return found

    async def _admit(self, blob: Candidate) -> None:
        """Hand `blob` to a task of its own, once there is room."""
        waiting_since = time.monotonic()
        await self._admission.acquire()
        self._waited_s += time.monotonic() - waiting_since
        if self._segments.receipts.is_finished(blob.digest) or blob.name in self._in_flight:
            self._admission.release()
            return
        # One version of a blob at a time: an older one must not overwrite the output of a newer one.
        self._in_flight[blob.name] = asyncio.create_task(self._run(blob), name=f"fnpack-blob {blob.path}")

    async def _run(self, blob: Candidate) -> None:
        partition = partition_of(blob.name)
        self._ownership.enter(partition)
        try:
            await self._runs.run(blob, lambda: self._ownership.owns(partition))
        finally:
            self._ownership.leave(partition)
            self._in_flight.pop(blob.name, None)
            self._admission.release()

    async def _pause(self, delay_s: float) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._hint.wait(), delay_s)
        self._hint.clear()

    def _replaceable(self) -> dict[str, str]:
        """What to compact in this pass; only the holder of partition 0 does, so that hosts do not do it twice."""
        alive = self._ownership.alive
        if self._ownership.owns(0) and self._segments.wants_compaction(alive):
            return self._segments.left_behind(alive)
        return {}

    def _note_absent(self) -> None:
        if not self._is_absent:
            self._is_absent = True
            _log.warning(
                "function `%s`: container `%s` of storage account `%s` does not exist; create it, "
                "blobs are run as soon as it is there",
                self.function,
                self.pattern.container,
                self._trigger.account,
            )
