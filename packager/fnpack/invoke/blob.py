"""Calls a function with a blob trigger: drops a blob, waits for the output blob."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fnpack.invoke import Input, InvokeError, NoAnswer, Output
from fnpack.invoke.outputs import awaited, wait
from fnpack_host.app.function_app import Function, FunctionApp
from fnpack_triggers.base import Json
from fnpack_triggers.blob.faults import ConflictError, NotFoundError, translated
from fnpack_triggers.blob.pattern import BlobPattern, parse_output_path, parse_trigger_path
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.expressions import resolve_settings

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobServiceClient

POLL_S = 0.1


def call(app: FunctionApp, function: Function, given: Input, *, timeout_s: float) -> Output:
    """Drop the input as a blob and return the output blob's content.

    Raises NoAnswer when the output does not appear within `timeout_s`, ServiceError when the storage refuses.
    """
    from fnpack_triggers.blob.account import blocking_blobs

    trigger = function.trigger
    connection = StorageConnection.find(app.settings, trigger.text("connection"))
    pattern = parse_trigger_path(resolve_settings(trigger.text("path"), app.settings))
    name = _blob_name(pattern, given)
    outputs = [binding for binding in function.outputs if binding.type == "blob"]
    captures = pattern.match(name) or {}
    data: Mapping[str, Json] = {"BlobTrigger": f"{pattern.container}/{name}", **captures}
    if not outputs:
        with awaited(app, function, data) as other, blocking_blobs(connection) as service:
            if other is None:
                raise InvokeError(f"function {function.name} has no output to wait for")
            _Drop(service, connection.account, pattern.container, name).write(given.payload)
            return wait(app, function, f"{pattern.container}/{name} was dropped", other, timeout_s)
    container, output_name = parse_output_path(
        resolve_settings(outputs[0].text("path"), app.settings)
    ).render(data)
    with blocking_blobs(connection) as service:
        drop = _Drop(service, connection.account, pattern.container, name)
        output = service.get_blob_client(container, output_name)
        before = drop.etag(output)
        drop.write(given.payload)
        payload, content_type = drop.wait(output, before, timeout_s, app)
    return Output(payload, f"{container}/{output_name}", content_type)


def _blob_name(pattern: BlobPattern, given: Input) -> str:
    """The name asked for, else the file's where it fits the pattern, else the file's stem put into the pattern."""
    stem = PurePosixPath(given.file_name).stem
    filled = stem.join(pattern.literals) if pattern.captures else pattern.prefix
    candidates = [given.blob_name] if given.blob_name else [given.file_name, filled]
    for candidate in candidates:
        if pattern.match(candidate) is not None:
            return candidate
    raise InvokeError(
        f"the blob name `{candidates[0]}` does not match `{pattern.text}`", hint="name it with --blob-name"
    )


@dataclass(frozen=True, slots=True)
class _Drop:
    """An input blob on its way, and what storage answers, in the words of the host."""

    service: BlobServiceClient
    account: str
    container: str
    name: str

    def etag(self, output: BlobClient) -> str | None:
        """The version of the output that is there, or None."""
        try:
            with translated(f"read `{output.container_name}/{output.blob_name}`", self.account):
                return str(output.get_blob_properties().etag)
        except NotFoundError:
            return None

    def write(self, payload: bytes) -> None:
        """Upload the input."""
        try:
            with translated(f"write `{self.container}/{self.name}`", self.account):
                self.service.get_blob_client(self.container, self.name).upload_blob(payload, overwrite=True)
        except NotFoundError as error:
            raise InvokeError(
                f"the container `{self.container}` does not exist",
                hint="create it; the host watches it then",
            ) from error
        except ConflictError as error:
            raise InvokeError(
                f"`{self.container}/{self.name}` cannot be written: it is leased, or being deleted",
                hint="give another name with --blob-name, or try again in a while",
            ) from error

    def wait(
        self, output: BlobClient, before: str | None, timeout_s: float, app: FunctionApp
    ) -> tuple[bytes, str]:
        """The output's content and type, once there is a version of it that was not there before."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.etag(output) not in (None, before):
                with translated(f"read `{output.container_name}/{output.blob_name}`", self.account):
                    download = output.download_blob()
                    return download.readall(), str(download.properties.content_settings.content_type or "")
            time.sleep(POLL_S)
        raise NoAnswer(
            f"{self.container}/{self.name} was dropped, but no output {output.container_name}/{output.blob_name} "
            f"came within {timeout_s:g} s",
            hint=f"is the host running (`fnpack run {app.root}`)? A blob that failed five times is named in the queue "
            "webjobs-blobtrigger-poison; the host's log says why",
        )
