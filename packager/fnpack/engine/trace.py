"""BuildKit's progress stream: protobuf status messages in, `ProgressEvent`s and the story of a failure out."""

from __future__ import annotations

import base64
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fnpack.engine.protobuf import fields
from fnpack.progress import Progress, ProgressEvent, Status

log = logging.getLogger(__name__)

KEPT_LINES = 20
_VERTEX, _STATUS, _LOG = 1, 2, 3  # fields of BuildKit's StatusResponse
_FINISHED = frozenset({"done", "cached", "failed"})
_CANCELLED = ("context canceled", "context cancelled")

_Message = Mapping[int, int | bytes]


@dataclass(slots=True)
class _Step:
    name: str = ""
    state: Status | None = None
    error: str = ""
    started_s: float | None = None
    parts: dict[str, tuple[object, object]] = field(default_factory=dict)  # of the step: (current, total)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    partial: dict[int, bytes] = field(default_factory=dict)  # per stream, a line whose end has not come yet


@dataclass(frozen=True, slots=True)
class Failure:
    """The step that failed, why, and the last lines it printed."""

    step: str
    reason: str
    output: tuple[str, ...]


class BuildTrace:
    """Follows one build. All text that leaves it has passed `redact`."""

    def __init__(self, progress: Progress, redact: Callable[[str], str]) -> None:
        self._progress, self._redact = progress, redact
        self._steps: dict[bytes, _Step] = {}

    def feed(self, aux: str) -> None:
        """Take one `moby.buildkit.trace` payload. A payload that cannot be read is dropped: it is only progress."""
        try:
            self._take(fields(base64.b64decode(aux, validate=True)))
        except ValueError as exc:  # of base64, or a ProtobufError
            log.debug("unreadable build progress: %s", exc)

    def failure(self) -> Failure | None:
        """The first step that failed by itself (not because another one did), once the build is over."""
        for step in self._steps.values():
            if step.error and not any(word in step.error for word in _CANCELLED):
                rest = [self._line(part) for part in step.partial.values() if part]
                output = (*step.lines, *rest)[-KEPT_LINES:]
                return Failure(self._redact(step.name), self._redact(step.error), tuple(output))
        return None

    def _take(self, status: Iterable[tuple[int, int | bytes]]) -> None:
        """Steps begin before and end after what the same message says of them: BuildKit lists all steps first."""
        parts: dict[int, list[_Message]] = {_VERTEX: [], _STATUS: [], _LOG: []}
        for number, value in status:
            if number in parts and isinstance(value, bytes):
                parts[number].append(dict(fields(value)))
        for vertex in parts[_VERTEX]:
            self._begin(vertex)
        for entry in parts[_STATUS]:
            self._status(entry)
        for entry in parts[_LOG]:
            self._log(entry)
        for vertex in parts[_VERTEX]:
            self._end(vertex)

    def _step(self, digest: int | bytes | None) -> _Step:
        return self._steps.setdefault(digest if isinstance(digest, bytes) else b"", _Step())

    def _begin(self, vertex: _Message) -> None:
        step = self._step(vertex.get(1))
        step.name = _text(vertex.get(3)) or step.name
        step.error = _text(vertex.get(7)) or step.error
        step.started_s = _time(vertex.get(5)) or step.started_s
        if step.state is None and step.started_s is not None and not vertex.get(4):
            step.state = "started"
            self._emit(step, "started")

    def _end(self, vertex: _Message) -> None:
        step, completed = self._step(vertex.get(1)), _time(vertex.get(6))
        if completed is None or step.state in _FINISHED:
            return
        step.state = "failed" if step.error else "cached" if vertex.get(4) else "done"
        took = max(0.0, completed - step.started_s) if step.started_s is not None else None
        self._emit(step, step.state, detail=step.error, duration_s=took)

    def _status(self, status: _Message) -> None:
        step, part = self._step(status.get(2)), _text(status.get(1))
        current, total = status.get(4, 0), status.get(5, 0)
        if step.state in _FINISHED or step.parts.get(part) == (current, total):
            return
        step.parts[part] = (current, total)
        self._emit(
            step,
            "running",
            detail=part,
            current_bytes=current if isinstance(current, int) and total else None,
            total_bytes=total if isinstance(total, int) and total else None,
        )

    def _log(self, entry: _Message) -> None:
        step, stream, message = self._step(entry.get(1)), entry.get(3, 1), entry.get(4)
        if not isinstance(message, bytes) or not isinstance(stream, int):
            return
        *lines, step.partial[stream] = (step.partial.get(stream, b"") + message).split(b"\n")
        for raw in lines:
            line = self._line(raw)
            step.lines.append(line)
            if step.state not in _FINISHED:
                self._emit(step, "running", detail=line)

    def _line(self, raw: bytes) -> str:
        # A progress bar redraws its line with carriage returns: what stands there in the end is the line.
        return self._redact(raw.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2])

    def _emit(
        self,
        step: _Step,
        status: Status,
        *,
        detail: str = "",
        current_bytes: int | None = None,
        total_bytes: int | None = None,
        duration_s: float | None = None,
    ) -> None:
        name, detail = self._redact(step.name), self._redact(detail)
        self._progress(ProgressEvent(name, status, detail, current_bytes, total_bytes, duration_s))


def _text(value: int | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _time(value: int | bytes | None) -> float | None:
    """Seconds of a google.protobuf.Timestamp. An unset Go time is a message too: the year 1, negative seconds."""
    if not isinstance(value, bytes):
        return None
    parts = dict(fields(value))
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int) or seconds >= 1 << 63:
        return None
    return seconds + nanos / 1e9
