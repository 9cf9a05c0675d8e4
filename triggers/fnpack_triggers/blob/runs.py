"""Runs one blob: attempts, retries, poison. It does not know how blobs are found or whose they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from azure.core import MatchConditions

from fnpack_triggers.base import Deliver, Event, InvocationFailed, Json
from fnpack_triggers.blob import receipts
from fnpack_triggers.blob.faults import (
    ConflictError,
    NotFoundError,
    Patience,
    StorageRefused,
    StorageUnavailable,
    translated,
)
from fnpack_triggers.blob.poison import POISON_QUEUE, PoisonQueue
from fnpack_triggers.blob.segments import Segments

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties
    from azure.storage.blob.aio import BlobServiceClient

_log = logging.getLogger("fnpack.triggers.blob")
_RETRY_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 4.0)
_OVERWRITTEN = ("ConditionNotMet", "412")  # what the service says of an ETag that is not the blob's any more


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version of a blob that the function has not finished with."""

    container: str
    name: str
    etag: str
    blob_type: str
    digest: bytes
    captures: dict[str, str]

    @property
    def path(self) -> str:
        """`container/name`."""
        return f"{self.container}/{self.name}"


class Outcome(Enum):
    """How an attempt ended."""

    DONE = auto()
    FAILED = auto()
    EXCUSED = auto()  # it failed because storage was away: not the blob's fault
    GONE = auto()  # this version of the blob is no more


@dataclass(slots=True)
class BlobRuns:
    """Everything an attempt needs. `may_run` says, just before an attempt, whether the blob is still ours."""

    blobs: BlobServiceClient
    segments: Segments
    poison: PoisonQueue
    deliver: Deliver
    threshold: int
    slots: asyncio.Semaphore
    stopping: asyncio.Event
    trigger_patience: Patience
    state_patience: Patience

    async def run(self, blob: Candidate, may_run: Callable[[], bool]) -> None:
        """Attempt `blob` until it is done, poisoned, gone, or no longer ours."""
        known = self.segments.receipts
        number, failures, tries = known.last_attempt(blob.digest) + 1, known.failed_attempts(blob.digest), 0
        while failures < self.threshold:
            async with self.slots:
                if self.stopping.is_set() or not may_run():
                    return
                outcome = await self._attempt(blob, number)
            match outcome:
                case Outcome.DONE:
                    await self.segments.append(receipts.done(blob.digest))
                    return
                case Outcome.GONE:
                    return
                case Outcome.FAILED:
                    number += 1
                    failures = max(failures + 1, known.failed_attempts(blob.digest))
                case Outcome.EXCUSED:
                    pass  # the same attempt again
            if failures < self.threshold:
                await self._pause(_RETRY_DELAYS_S[min(tries, len(_RETRY_DELAYS_S) - 1)])
            tries += 1
            if self.stopping.is_set() and outcome is Outcome.EXCUSED:
                self.segments.append(receipts.given_back(blob.digest, number))
        if not self.stopping.is_set() and may_run():
            await self._give_up(blob, failures)

    async def once(self, blob: Candidate) -> None:
        """Run `blob` outside of all book-keeping: a person asked for it. A failure is in the log already."""
        async with self.slots:
            event = await self._fetch(blob, 1)
            if event is not None:
                with suppress(InvocationFailed):
                    await self.deliver(event)

    async def _attempt(self, blob: Candidate, number: int) -> Outcome:
        outages = self._outages
        # The attempt is on record before user code sees the blob: one that kills the host counts, too.
        recorded = self.segments.append(receipts.started(blob.digest, number))
        try:
            event, _ = await asyncio.gather(self._fetch(blob, number), recorded)
            if event is None:
                return Outcome.GONE
            await self.deliver(event)
        except InvocationFailed as exc:
            is_ours = isinstance(exc.__cause__, StorageUnavailable) or self._outages != outages
            return Outcome.EXCUSED if is_ours else Outcome.FAILED
        except asyncio.CancelledError:
            self.segments.append(receipts.given_back(blob.digest, number))
            raise
        except Exception:
            _log.exception("delivering `%s` failed inside fnpack; this is a bug", blob.path)
            return Outcome.FAILED
        return Outcome.DONE

    @property
    def _outages(self) -> tuple[int, int, bool]:
        lost = self.trigger_patience.is_lost or self.state_patience.is_lost
        return self.trigger_patience.outages, self.state_patience.outages, lost

    async def _fetch(self, blob: Candidate, attempt: int) -> Event | None:
        """The event of an attempt, or None if this version is no more. Raises InvocationFailed, already logged."""
        try:
            return await self.trigger_patience.run(lambda: self._download(blob, attempt))
        except NotFoundError:
            return None
        except ConflictError as exc:
            if str(exc) in _OVERWRITTEN:
                return None  # the new version is found by listing
            # It is archived, or encrypted with a key that we do not have.
            _log.error("`%s` cannot be read (%s)", blob.path, exc)
            raise InvocationFailed(f"it cannot be read ({exc})") from exc

    async def _download(self, blob: Candidate, attempt: int) -> Event:
        client = self.blobs.get_blob_client(blob.container, blob.name)
        with translated(f"read `{blob.path}`", self.trigger_patience.account):
            stream = await client.download_blob(
                etag=f'"{blob.etag}"', match_condition=MatchConditions.IfNotModified
            )
            payload = await stream.readall()
        properties = stream.properties
        data: dict[str, Json] = {
            "BlobTrigger": blob.path,
            "Uri": client.url.partition("?")[0],  # without the signature a SAS connection adds
            "Properties": _properties(properties, blob),
            "Metadata": dict(properties.metadata or {}),
            **blob.captures,
        }
        content_type = properties.content_settings.content_type or ""
        return Event(payload, data, blob.path, attempt, content_type)

    async def _give_up(self, blob: Candidate, failures: int) -> None:
        where = f"queue `{POISON_QUEUE}` of storage account `{self.poison.connection.account}`"
        message = self.poison.message(blob.container, blob.name, blob.etag, blob.blob_type)
        try:
            await self._report(message)
        except (StorageRefused, ValueError) as exc:
            _log.error(
                "`%s` failed %d times and is given up, but %s cannot be told: %s",
                blob.path,
                failures,
                where,
                exc,
            )
        else:
            _log.error(
                "`%s` failed %d times and is given up; a message went to %s", blob.path, failures, where
            )
        await self.segments.append(receipts.poisoned(blob.digest))

    async def _report(self, message: str) -> None:
        delay_s = 0.1
        while True:
            try:
                return await self.poison.send(message)
            except StorageUnavailable as exc:
                self.trigger_patience.lost(exc)
            except (ConflictError, NotFoundError):
                pass  # the queue is being deleted: it can be made again in half a minute
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _RETRY_DELAYS_S[-1])

    async def _pause(self, delay_s: float) -> None:
        if delay_s:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), delay_s)


def _properties(properties: BlobProperties, blob: Candidate) -> dict[str, Json]:
    settings = properties.content_settings
    times = {"LastModified": properties.last_modified, "CreatedOn": properties.creation_time}
    return {
        "BlobType": blob.blob_type,
        "ETag": blob.etag,
        "ContentLength": properties.size,
        "ContentType": settings.content_type,
        "ContentEncoding": settings.content_encoding,
        "ContentLanguage": settings.content_language,
        "ContentDisposition": settings.content_disposition,
        "CacheControl": settings.cache_control,
        **{key: moment.isoformat() if moment else None for key, moment in times.items()},
    }
