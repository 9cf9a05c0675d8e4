"""What the entry script's return value becomes: body, content type, status and headers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from .request import BadInput

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"
RUN_FAILED = "x-ms-run-function-failed"

log = logging.getLogger("fnpack_scoring")


class ScoringError(Exception):
    """An event was not scored; the host retries it."""


@dataclass(frozen=True)
class Result:
    """The output of one call. `headers` are extra ones; the content type has its own field."""

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def to_result(value: object) -> Result:
    """Turn what `run` returned into an output.

    bytes stay bytes, text stays text, a response object is taken as it is, anything else becomes JSON (numpy
    values too). None becomes `{}`, as SDK v1 had it. Raises TypeError for a value that JSON cannot hold.
    """
    match value:
        case Result():
            return value
        case bytes() | bytearray() | memoryview():
            return Result(bytes(value), BINARY)
        case str():
            return Result(value.encode(), TEXT)
        case None:
            return Result(b"{}")
    if hasattr(value, "status_code"):
        return _from_response(value)
    return Result(json.dumps(value, default=_plain).encode())


def failure(error: BaseException) -> Result:
    """SDK v1's answer to a failed call: the cause goes to the log, the caller gets a plain message."""
    if isinstance(error, BadInput):
        return Result(_message(str(error)), JSON, 400)
    log.error("run() failed", exc_info=error)
    text = "An unexpected error occurred in scoring script. Check the logs for more info."
    return Result(_message(text), JSON, 500, {RUN_FAILED: "True"})


def _message(text: str) -> bytes:
    return json.dumps({"message": text}).encode()


def _from_response(response: object) -> Result:
    """Read an AMLResponse, a Flask response or an azure.functions.HttpResponse by the parts they share."""
    read = getattr(response, "get_data", None) or getattr(response, "get_body", None)
    body = read() if callable(read) else b""
    headers = {
        str(name).lower(): str(value) for name, value in dict(getattr(response, "headers", {})).items()
    }
    headers.pop("content-length", None)
    content_type = headers.pop("content-type", None) or getattr(response, "mimetype", None) or JSON
    status = int(getattr(response, "status_code", 200))
    if status >= 500:
        headers[RUN_FAILED] = "True"
    return Result(body.encode() if isinstance(body, str) else bytes(body), content_type, status, headers)


def _plain(value: object) -> object:
    """Numpy arrays and scalars, pandas series: whatever knows its plain Python form."""
    for name in ("tolist", "item"):
        method = getattr(value, name, None)
        if callable(method):
            plain: object = method()
            return plain
    raise TypeError(
        f"run() returned a value with a {type(value).__name__} in it, which JSON cannot hold; "
        "return plain Python or numpy values, text, bytes or a response"
    )
