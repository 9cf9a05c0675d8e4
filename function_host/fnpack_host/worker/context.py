"""What user code sees of its invocation: `context` and `Out` parameters."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping

from fnpack_host.worker.output import thread_storage

_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")


class Out:
    """An output parameter. Left alone, or set to None, nothing is written."""

    def __init__(self) -> None:
        self._value: object = None

    def set(self, val: object) -> None:
        """Set what is written once the function has returned."""
        self._value = val

    def get(self) -> object:
        """What was set, or None."""
        return self._value


class TraceContext:
    """W3C trace context: a child of the caller's where an HTTP request carried one."""

    def __init__(self, parent: str = "", state: str = "") -> None:
        match = _TRACE_PARENT.fullmatch(parent)
        trace, flags = match.groups() if match else (os.urandom(16).hex(), "00")
        self.trace_parent = self.Traceparent = f"00-{trace}-{os.urandom(8).hex()}-{flags}"
        self.trace_state = self.Tracestate = state if match else ""
        self.attributes: dict[str, str] = {}
        self.Attributes = self.attributes


class RetriedError:
    """Why the call before this one failed; empty texts in the first one."""

    def __init__(self, message: str = "") -> None:
        self.message, self.source, self.stack_trace = message, "", ""


class RetryContext:
    """How often a retry policy has run this event before, and how often it may."""

    def __init__(self, facts: Mapping[str, object]) -> None:
        self.retry_count, self.max_retry_count = facts.get("count", 0), facts.get("max", 0)
        self.exception = RetriedError(str(facts.get("error", "")))


class InvocationContext:
    """The `context` parameter. `request` and `retry` are what a frame says of its HTTP request and its retry."""

    def __init__(
        self,
        name: str,
        directory: str,
        invocation: str,
        request: Mapping[str, object],
        retry: Mapping[str, object],
    ) -> None:
        self.function_name, self.function_directory, self.invocation_id = name, directory, invocation
        headers = request.get("headers")
        headers = headers if isinstance(headers, Mapping) else {}
        self.trace_context = TraceContext(headers.get("traceparent", ""), headers.get("tracestate", ""))
        self.retry_context = RetryContext(retry)

    @property
    def thread_local_storage(self) -> threading.local:
        """Where a user's own thread puts `invocation_id`, so that its log lines carry it."""
        return thread_storage
