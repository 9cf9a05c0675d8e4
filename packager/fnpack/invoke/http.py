"""Calls a function with an HTTP trigger."""

from __future__ import annotations

import http.client
import re
import time
from urllib.parse import SplitResult, quote, urlsplit

from fnpack.invoke import FunctionFailed, Input, InvokeError, NoAnswer, Output
from fnpack_host.app.function_app import Function, FunctionApp

POLL_S = 0.2
STARTING, STARTING_BODY = 503, b"Function host is not running."  # as Azure's host says it, too


def call(
    app: FunctionApp, function: Function, given: Input, *, base_url: str, key: str, timeout_s: float
) -> Output:
    """POST the input to the function and return the body of its answer.

    A host that is still starting is asked again until `timeout_s` has passed. Raises NoAnswer when no host listens at
    `base_url` or the call takes longer than `timeout_s`, FunctionFailed for a status of 400 and above.
    """
    url, path = _address(base_url, app, function)
    headers = {"Content-Type": "application/json"} | ({"x-functions-key": key} if key else {})
    deadline = time.monotonic() + timeout_s
    while True:
        left_s = max(0.1, deadline - time.monotonic())
        try:
            status, content_type, body = _post(url, path, given.payload, headers, left_s)
        except TimeoutError as error:
            raise NoAnswer(
                f"no answer from {base_url}{path} within {timeout_s:g} s", hint="see the host's log"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(
                f"cannot reach {base_url}: {getattr(error, 'strerror', None) or error}",
                hint=f"start the app with `fnpack run {app.root}`, or say where it runs with --url",
            ) from error
        if status == STARTING and body == STARTING_BODY and time.monotonic() + POLL_S < deadline:
            time.sleep(POLL_S)  # the entry script's init() is still running there
            continue
        if status >= 400:
            raise _failure(function, status, body, timeout_s)
        return Output(body, f"HTTP {status}", content_type)


def _address(base_url: str, app: FunctionApp, function: Function) -> tuple[SplitResult, str]:
    try:
        url = urlsplit(base_url if "://" in base_url else f"http://{base_url}")
        is_address = (
            url.scheme in ("http", "https")
            and bool(url.hostname)
            and url.port != 0
            and not re.search(r"\s", base_url)
        )
    except ValueError:
        is_address = False
    if not is_address:
        raise InvokeError(f"`{base_url}` is no http(s) address", hint="give it as http://HOST:PORT")
    return url, _path(app, function, url.path)


def _post(
    url: SplitResult, path: str, payload: bytes, headers: dict[str, str], timeout_s: float
) -> tuple[int, str, bytes]:
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.hostname or "", url.port, timeout=timeout_s)
    try:
        connection.request("POST", path, payload, headers)
        response = connection.getresponse()
        return response.status, response.getheader("content-type", ""), response.read()
    finally:
        connection.close()


def _path(app: FunctionApp, function: Function, below: str) -> str:
    route = function.trigger.text("route") or function.name
    if "{" in route:
        raise InvokeError(
            f"the route `{route}` has parameters, so its address cannot be guessed", hint="call it with curl"
        )
    prefix = app.host_json.text("extensions.http.routePrefix", "api")
    return "/" + "/".join(quote(part.strip("/")) for part in (below, prefix, route) if part.strip("/"))


def _failure(function: Function, status: int, body: bytes, timeout_s: float) -> FunctionFailed:
    if status == STARTING and body == STARTING_BODY:
        return FunctionFailed(
            f"the host was still starting after {timeout_s:g} s (status {status})",
            hint="init() of the entry script may take long: raise --timeout, and see the host's log",
        )
    hints = {
        401: "give the function's key with --key or FNPACK_KEY; the host's log says where the keys are",
        404: "another app may be listening there; compare with the addresses that the host printed",
        500: "the cause is in the host's log",
    }
    text = body[:2000].decode("utf-8", "replace")
    return FunctionFailed(
        f"function {function.name} answered with status {status}" + (f": {text}" if text else ""),
        hint=hints.get(status),
    )
