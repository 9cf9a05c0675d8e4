"""What the entry script's return value becomes: body, content type, status, headers and named outputs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import BadInput, ResultError, ScoringError, ScoringTimeout
from .plain_json import to_json
from .response import JSON, RUN_FAILED, read_response

TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"
SCRIPT_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
INTERNAL_ERROR = "An unexpected internal error occurred. Check the logs for more info."

log = logging.getLogger("fnpack_scoring")
_nan_is_told = False


class Outputs:
    """Several outputs of one call: `result` for the answer or the first output, the others by their bindings' names.

    `return Outputs({"score": 0.9}, alerts={"id": 7}, report=b"...")`. An output that is None is not written.
    """

    def __init__(self, result: object = None, **named: object) -> None:
        self.result, self.named = result, named


@dataclass(frozen=True)
class Result:
    """The output of one call. `headers` are extra ones, several of one name as a list; the content type has its own
    field. `named` are outputs beside the first.
    """

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: Mapping[str, str | list[str]] = field(default_factory=dict)
    named: Mapping[str, Result] = field(default_factory=dict)

    @property
    def all_headers(self) -> dict[str, str]:
        """Every header, for hosts that take one value for each name."""
        joined = {
            name: value if isinstance(value, str) else ", ".join(value)
            for name, value in self.headers.items()
        }
        return {**joined, "Content-Type": self.content_type}


def to_result(value: object, *, text_as_json: bool = False, strict: bool = False) -> Result:
    """Turn what `run` returned into an output.

    A response object is taken as it is, bytes stay bytes, text stays text unless `text_as_json`, None becomes `{}`,
    anything else becomes JSON: numpy values and data frames too, NaN and infinity as null. `strict` is what SDK v1's
    server did: text always becomes JSON, NaN and infinity stay, and bytes and numpy arrays are refused. Raises
    ResultError for what cannot be an output.
    """
    match value:
        case Result():
            return value
        case Outputs():
            named = {name: to_result(one) for name, one in value.named.items() if one is not None}
            first = to_result(value.result, text_as_json=text_as_json, strict=strict)
            return Result(first.body, first.content_type, first.status, first.headers, named)
        case None:
            return Result(b"{}")
        case str() if not text_as_json and not strict:
            return Result(value.encode(), TEXT)
        case bytes() | bytearray() | memoryview() if not strict:
            return Result(bytes(value), BINARY)
    if hasattr(value, "status_code"):
        return Result(*read_response(value))
    try:
        return Result((json.dumps(value) if strict else _to_json(value)).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultError(f"run() returned what no JSON can be made of: {error}") from error


def failure(error: BaseException) -> Result:
    """SDK v1's answer to a failed call: the cause goes to the log, the caller gets a plain message."""
    match error:
        case BadInput():
            return Result(_message(str(error)), status=error.status)
        case ScoringTimeout():
            log.error("%s", error, exc_info=error)
            return Result(_message(str(error)), status=500, headers={RUN_FAILED: "True"})
        case ResultError():
            log.error("%s", error, exc_info=error)
            return Result(_message(INTERNAL_ERROR), status=500)
    log.error("run() failed", exc_info=error)
    return Result(_message(SCRIPT_FAILED), status=500, headers={RUN_FAILED: "True"})


def check_event(result: Result) -> Result:
    """An event has no caller who would read an error response: it has to be a failure, so that it is retried."""
    if result.status >= 400:
        text = result.body[:500].decode("utf-8", "replace")
        raise ScoringError(f"the entry script answered with status {result.status}: {text}")
    return result


def _message(text: str) -> bytes:
    return json.dumps({"message": text}).encode()


def _to_json(value: object) -> str:
    global _nan_is_told
    text, had_nan = to_json(value)
    if had_nan and not _nan_is_told:
        _nan_is_told = True
        log.warning("run() returned NaN or infinity, which JSON does not have; null is sent instead")
    return text
