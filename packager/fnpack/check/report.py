"""What came of a check: read from what the child said, and told with the script's own words."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fnpack_triggers.errors import FnpackError

STEPS = {
    "start": "its Python starts",
    "import": "the entry script is imported",
    "init": "init() runs",
    "run": "run() gets the sample",
    "libraries": "its packages load libraries of the system",
}
_SHOWN_LINES, _LINE_CHARACTERS = 20, 400
_RESULT_CHARACTERS = 1000


class CheckFailed(FnpackError):  # noqa: N818 - says what happened
    """The image would not score: the script does not import, init() fails, or run() fails with the sample.

    `step` is start, import, init, run or libraries; `trace` is its traceback, `output` the end of what it printed.
    """

    code = "FN420"

    def __init__(
        self,
        step: str,
        reason: str,
        *,
        trace: Sequence[str] = (),
        output: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        lines = [f"the app fails its check when {STEPS[step]}: {reason}"]
        lines += [f"  {line}" for line in trace]
        lines += printed(output)
        super().__init__("\n".join(lines), hint=hint)
        self.step, self.reason, self.trace, self.output = step, reason, tuple(trace), tuple(output)


class CheckTooSlow(FnpackError):  # noqa: N818 - says what happened
    """A check did not end in time. `step` is what it was at."""

    code = "FN421"

    def __init__(self, step: str, timeout_s: float, output: Sequence[str]) -> None:
        text = f"the app's check takes longer than {timeout_s:g} s, when {STEPS[step]}"
        super().__init__(
            "\n".join([text, *printed(output)]),
            hint="give it longer with --check-timeout SECONDS, or build without a check: --no-check",
        )
        self.step = step


class Raised(NamedTuple):
    """The exception that ended a check, as the child tells it."""

    type: str
    text: str
    traceback: str
    module: str | None = None  # of an ImportError
    file: str | None = None  # of an OSError
    is_adapters: bool = False
    is_setting: bool = False

    @property
    def line(self) -> str:
        """`ValueError: no such thing`."""
        return self.text if self.is_adapters and self.text else f"{self.type}: {self.text}"


@dataclass(frozen=True, slots=True)
class Result:
    """What `run()` gave for the sample; `body` is its beginning."""

    status: int
    content_type: str
    size_bytes: int
    body: bytes = field(repr=False)
    named: Mapping[str, int] = field(default_factory=dict)

    def text(self) -> str:
        """The result for a person, in part where it is long."""
        try:
            text = self.body.decode("utf-8")
        except UnicodeDecodeError:
            text = f"{self.size_bytes} bytes of {self.content_type}"
        more = self.size_bytes > len(self.body) or len(text) > _RESULT_CHARACTERS
        others = "".join(f", output {name}: {size} bytes" for name, size in self.named.items())
        return text[:_RESULT_CHARACTERS] + (f"... ({self.size_bytes} bytes)" if more else "") + others


class Report(NamedTuple):
    """All that a child told. `step` is the last one that it began, or `done`; `mapped` are the files in its memory."""

    step: str
    error: Raised | None = None
    result: Result | None = None
    mapped: tuple[str, ...] = ()


def read_report(text: str) -> Report:
    """The child's lines; what it left unfinished when it died does not count."""
    report = Report("start")
    for line in text.splitlines():
        report = _read_line(line) or report
    return report


def _read_line(line: str) -> Report | None:
    try:
        facts = json.loads(line)
        error, result = facts.get("error"), facts.get("result")
        mapped = tuple(map(str, facts.get("mapped") or ()))
        return Report(
            str(facts["step"]),
            _raised(error) if error else None,
            _result(result) if result else None,
            mapped,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def printed(output: Sequence[str]) -> list[str]:
    """What a script has printed, as lines of an error."""
    return ["  it has printed:", *(f"  | {line}" for line in output)] if output else []


def last_lines(output: str) -> list[str]:
    """The end of what was printed, in lines that a terminal can show."""
    lines = [line.rstrip()[:_LINE_CHARACTERS] for line in output.splitlines() if line.strip()]
    return lines[-_SHOWN_LINES:]


def _raised(facts: Mapping[str, object]) -> Raised:
    def text(name: str) -> str | None:
        found = facts.get(name)
        return found if isinstance(found, str) else None

    return Raised(
        text("type") or "Exception",
        text("text") or "",
        text("traceback") or "",
        text("name"),
        text("file"),
        facts.get("is_adapters") is True,
        facts.get("is_setting") is True,
    )


def _result(facts: Mapping[str, object]) -> Result:
    named = facts.get("named")
    return Result(
        int(str(facts["status"])),
        str(facts["content_type"]),
        int(str(facts["size"])),
        base64.b64decode(str(facts["body"])),
        {str(name): int(size) for name, size in named.items()} if isinstance(named, dict) else {},
    )
