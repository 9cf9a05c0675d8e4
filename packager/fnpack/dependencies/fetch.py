"""Fetches what was selected into the cache: in parallel, resumed where it broke, visible once the hash is right."""

from __future__ import annotations

import hashlib
import random
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from fnpack.dependencies.cache import place_of, unusable, writing
from fnpack.dependencies.errors import DownloadFailed, HashMismatch, PackageIndexRefused
from fnpack.dependencies.index import PackageIndex
from fnpack.dependencies.selection import Selected
from fnpack.dependencies.simple_index import find_file
from fnpack.dependencies.transport import AnswerError, Transport
from fnpack.progress import Progress, ProgressEvent, ignore

_AT_ONCE = 6
_ATTEMPTS = 5  # in a row without a new byte
_CHUNK_BYTES = 1 << 18
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_PAUSE_S = 20.0
_EVENT_EVERY_S = 0.1
_HINT = (
    "check the network, and the index, proxy and certificate settings of pip or uv; with `--upgrade` the lock "
    "gets the addresses that the index has now"
)


class _Stopped(Exception):  # noqa: N818 - no error: another file failed
    """Another download failed; this one is given up."""


def fetch(
    selected: Sequence[Selected], index: PackageIndex, progress: Progress = ignore
) -> dict[Selected, Path]:
    """Where each wheel and archive of `selected` is in the cache, after fetching those that are not there.

    Raises DownloadFailed, HashMismatch, PackageIndexRefused, CacheUnusable. A file that is cached is not asked for.
    What `progress` raises ends all downloads.
    """
    places = {one: place_of(one.sha256, one.filename) for one in selected if one.sha256}
    missing = [one for one, place in places.items() if not place.is_file()]
    if missing:
        transport = Transport(index)
        try:
            _Fetching(transport, index, missing, progress).run()
        finally:
            transport.close()
    return places


class _Fetching:
    """The downloads of one build."""

    def __init__(
        self, transport: Transport, index: PackageIndex, files: Sequence[Selected], progress: Progress
    ) -> None:
        self._transport, self._index, self._files, self._progress = transport, index, files, progress
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._total = sum(one.size_bytes or 0 for one in files) or None
        self._done = 0
        self._step = f"fetch {len(files)} package{'s' if len(files) > 1 else ''}"
        self._told = 0.0

    def run(self) -> None:
        since = time.monotonic()
        self._progress(ProgressEvent(self._step, "started", total_bytes=self._total))
        largest_first = sorted(self._files, key=lambda one: -(one.size_bytes or 0))
        try:
            with ThreadPoolExecutor(_AT_ONCE, "fnpack-fetch") as pool:
                futures = [pool.submit(self._one, one) for one in largest_first]
                try:
                    for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                        future.result()
                except BaseException:
                    self._stop.set()
                    self._transport.close()  # nobody waits for what still comes
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        except BaseException:
            self._progress(ProgressEvent(self._step, "failed", duration_s=time.monotonic() - since))
            raise
        self._progress(
            ProgressEvent(
                self._step,
                "done",
                current_bytes=self._done,
                total_bytes=self._total,
                duration_s=time.monotonic() - since,
            )
        )

    def _one(self, one: Selected) -> None:
        with writing(place_of(one.sha256, one.filename)) as file:
            digest = self._local(one, file) if one.url is None else self._remote(one, one.url, file)
            if digest != one.sha256:
                raise HashMismatch(
                    f"{one.filename} is not the file that was locked: its sha256 is {digest}, locked is {one.sha256}",
                    hint="somebody replaced it on the index; if you trust the new one, build with --upgrade",
                )

    def _local(self, one: Selected, file: BinaryIO) -> str:
        path = self._find_local(one)
        digest = hashlib.sha256()
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                self._write(file, chunk)
        return digest.hexdigest()

    def _find_local(self, one: Selected) -> Path:
        """Where the lock says, or in one of the folders that pip's `find-links` names now."""
        places = [Path(one.path or ""), *(folder / one.filename for folder in self._index.find_links)]
        for path in places:
            if path.is_file():
                return path
        raise DownloadFailed(
            f"{one.filename} is not there: {places[0]}",
            hint="put it back, or name the folder that has it in PIP_FIND_LINKS",
        )

    def _remote(self, one: Selected, url: str, file: BinaryIO) -> str:
        try:
            return self._download(url, file)
        except (AnswerError, OSError, HTTPException, PackageIndexRefused) as error:
            # The lock may come from a machine with another index: the hash says which file it is, wherever it is.
            moved = find_file(self._transport, self._index, one.name, one.filename)
            if moved is None or moved == url:
                raise _failed(one, url, error) from error
        try:
            return self._download(moved, file)
        except (AnswerError, OSError, HTTPException) as error:
            raise _failed(one, moved, error) from error

    def _download(self, url: str, file: BinaryIO) -> str:
        """Read to the end, going on where a connection broke; returns the hash."""
        file.seek(0)
        file.truncate()
        digest = hashlib.sha256()
        failures = 0
        while True:
            before = file.tell()
            try:
                done, digest = self._part(url, file, digest)
                if done:
                    return digest.hexdigest()
                error: Exception = HTTPException("the connection ended in the middle of the file")
            except (AnswerError, OSError, HTTPException) as caught:
                error = caught
            failures = 1 if file.tell() > before else failures + 1
            if failures >= _ATTEMPTS or not _is_passing(error):
                raise error
            self._pause(failures, error)

    def _part(self, url: str, file: BinaryIO, digest: hashlib._Hash) -> tuple[bool, hashlib._Hash]:
        """Read what one connection gives; says whether that was all of it."""
        offset = file.tell()
        with self._transport.get(url, offset=offset) as response:
            if response.status == 200 and offset:  # the server cannot go on in the middle
                self._count(-offset)
                file.seek(0)
                file.truncate()
                digest = hashlib.sha256()
            left = response.length
            while chunk := response.read(_CHUNK_BYTES):
                digest.update(chunk)
                self._write(file, chunk)
                left = left - len(chunk) if left is not None else None
        return not left, digest

    def _write(self, file: BinaryIO, chunk: bytes) -> None:
        if self._stop.is_set():
            raise _Stopped
        try:
            file.write(chunk)
        except OSError as error:  # the disk's, not the network's
            raise unusable(Path(file.name), error) from error
        self._count(len(chunk))

    def _count(self, size: int) -> None:
        with self._lock:
            self._done += size
            now = time.monotonic()
            if now - self._told < _EVENT_EVERY_S:
                return
            self._told = now
        self._progress(
            ProgressEvent(self._step, "running", current_bytes=self._done, total_bytes=self._total)
        )

    def _pause(self, failures: int, error: Exception) -> None:
        """Wait longer each time, never in step with others, and as long as the server says."""
        asked = getattr(error, "retry_after_s", None)
        pause = random.uniform(0.5, 1.0) * 0.3 * 2**failures  # noqa: S311 - not a secret
        if self._wait(min(max(pause, asked or 0.0), _LONGEST_PAUSE_S)):
            raise _Stopped

    def _wait(self, pause_s: float) -> bool:
        """Sleep, and say whether another download failed meanwhile."""
        return self._stop.wait(pause_s)


def _is_passing(error: Exception) -> bool:
    """Whether the same request may do better in a moment."""
    match error:
        case AnswerError():
            return error.status in _TRY_AGAIN
        case socket.gaierror():
            return error.errno == socket.EAI_AGAIN
        case ssl.SSLCertVerificationError():
            return False
    return True


def _failed(one: Selected, url: str, error: Exception) -> DownloadFailed | PackageIndexRefused:
    if isinstance(error, PackageIndexRefused):
        return error
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        reason = "no answer in time"
    return DownloadFailed(
        f"{one.filename} cannot be fetched from {urlsplit(url).hostname}: {reason}", hint=_HINT
    )
