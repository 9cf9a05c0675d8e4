from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from fnpack.engine.protobuf import encode
from fnpack.engine.redaction import Redactor
from fnpack.engine.trace import KEPT_LINES, BuildTrace
from fnpack.progress import ProgressEvent


def at(seconds: int) -> bytes:
    return encode((1, seconds), (2, 500_000_000))


def vertex(
    digest: str,
    name: str,
    *,
    started: int | None = None,
    completed: int | None = None,
    cached: bool = False,
    error: str = "",
) -> tuple[int, bytes]:
    parts: list[tuple[int, int | bytes | str]] = [(1, digest), (3, name), (4, int(cached)), (7, error)]
    parts += [(5, at(started))] if started is not None else []
    parts += [(6, at(completed))] if completed is not None else []
    return 1, encode(*parts)


def output(digest: str, text: str | bytes, stream: int = 1) -> tuple[int, bytes]:
    return 3, encode((1, digest), (3, stream), (4, text))


class Build:
    def __init__(self, *secrets: bytes) -> None:
        self.events: list[ProgressEvent] = []
        self.trace = BuildTrace(self.events.append, Redactor(secrets))

    def feed(self, *parts: tuple[int, bytes]) -> None:
        self.trace.feed(base64.b64encode(encode(*parts)).decode())

    def told(self) -> list[tuple[str, str, str]]:
        return [(event.step, event.status, event.detail) for event in self.events]


def test_a_step_starts_prints_and_ends_with_its_duration() -> None:
    build = Build()
    build.feed(vertex("a", "RUN x", started=10))
    build.feed(output("a", "hel"), output("a", "lo\nwor"))
    build.feed(vertex("a", "RUN x", started=10, completed=12), output("a", "ld\n"))
    assert build.told() == [
        ("RUN x", "started", ""),
        ("RUN x", "running", "hello"),
        ("RUN x", "running", "world"),
        ("RUN x", "done", ""),
    ]
    assert build.events[-1].duration_s == 2.0


def test_a_cached_step_is_told_once() -> None:
    build = Build()
    for _ in range(2):
        build.feed(vertex("a", "COPY . .", started=10, completed=10, cached=True))
    assert build.told() == [("COPY . .", "cached", "")]


def test_bytes_of_a_part_are_told_when_they_change() -> None:
    build = Build()
    part = (2, encode((1, "sha256:1"), (2, "a"), (4, 5), (5, 10)))
    build.feed(vertex("a", "FROM base", started=1), part)
    build.feed(part)
    assert build.told() == [("FROM base", "started", ""), ("FROM base", "running", "sha256:1")]
    assert (build.events[-1].current_bytes, build.events[-1].total_bytes) == (5, 10)


def test_the_failed_step_is_the_one_that_was_not_cancelled() -> None:
    build = Build()
    build.feed(
        vertex("b", "RUN other", started=1, completed=2, error="context canceled"),
        vertex("a", "RUN false", started=1, completed=2, error="exit code: 1"),
        *(output("a", f"line {number}\n") for number in range(100)),
        output("a", "no newline"),
    )
    failure = build.trace.failure()
    assert failure is not None
    assert (failure.step, failure.reason) == ("RUN false", "exit code: 1")
    assert len(failure.output) == KEPT_LINES
    assert failure.output[-2:] == ("line 99", "no newline")


def test_a_progress_bar_leaves_its_last_state() -> None:
    build = Build()
    build.feed(vertex("a", "RUN pip", started=1), output("a", "10%\r50%\r100%\r\nnext\n"))
    assert [event.detail for event in build.events] == ["", "100%", "next"]


def test_secrets_are_masked_even_when_their_output_comes_in_pieces() -> None:
    build = Build(b"hunter2-hunter2")
    build.feed(vertex("a", "RUN echo", started=1), output("a", "is hunter2-"), output("a", "hunter2!\n"))
    build.feed(vertex("a", "RUN echo", started=1, completed=2, error="hunter2-hunter2 failed"))
    assert "hunter2" not in repr((build.told(), build.trace.failure()))
    assert "is ***!" in [event.detail for event in build.events]


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_unreadable_progress_never_stops_a_build(aux: str) -> None:
    Build().trace.feed(aux)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3), st.dictionaries(st.integers(1, 8), st.integers(0, 1 << 64) | st.binary())
        )
    )
)
def test_wrong_types_in_progress_never_stop_a_build(
    messages: list[tuple[int, dict[int, int | bytes]]],
) -> None:
    build = Build()
    build.feed(*((number, encode(*parts.items())) for number, parts in messages))
    build.trace.failure()
