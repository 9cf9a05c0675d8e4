"""Runs a check in a container of the image itself: without a network, read-only, as the image's user."""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, cast

from fnpack.check import STEP, Check, Outcome, sample_of
from fnpack.check.native import Ended
from fnpack.check.remembered import CHILD
from fnpack.check.report import CheckTooSlow, last_lines, read_report
from fnpack.check.verdict import verdict
from fnpack.config.build import BuildSettings
from fnpack.oci import function_app
from fnpack.progress import Progress, ProgressEvent, in_phase

if TYPE_CHECKING:
    import socket

    from docker.api.client import APIClient

    from fnpack.oci.image import Image

_ROOT = f"/{function_app.ROOT}"
_AZURE_WORKER = "/azure-functions-host/workers/python/{version}/LINUX/X64"  # Microsoft's base image


class NotStarted(Exception):  # noqa: N818 - says what happened
    """The Engine cannot run the image, or not its Python; the text says why."""


@dataclass(frozen=True, slots=True)
class ContainerCheck:
    """How an image is checked in the Engine: `python` runs the check there, `python_version` is its "3.11"."""

    api: APIClient
    settings: BuildSettings
    progress: Progress
    python: str
    python_version: str

    def run(self, image: str) -> Outcome:
        """Check an image that the Engine has. Raises CheckFailed, CheckTooSlow."""
        from fnpack.build import step

        name = f"{STEP} in a container"
        try:
            text = step(self.progress, name, lambda: self._verdict(image))
        except NotStarted as reason:
            self.progress(ProgressEvent(name, "skipped", str(reason)))
            return Outcome("skipped", str(reason))
        return Outcome("passed", text)

    def load(self, image: Image, tag: str, check: Check) -> str:
        """Load an image under a name of its own, check it, and only then give it its tag; returns its id."""
        from docker.errors import DockerException

        from fnpack.engine.transfer import split_reference
        from fnpack.oci.outputs import load

        name = f"fnpack-check/{uuid.uuid4().hex[:12]}:latest"
        repository, version = split_reference(tag)
        try:
            image_id = load(image, name, self.api)
            with in_phase(self.progress, "check") as told:
                check.outcome = replace(self, progress=told).run(name)
            self.api.tag(name, repository, version or "latest", force=True)
        finally:
            with contextlib.suppress(DockerException):
                self.api.remove_image(name)
        return image_id

    def _verdict(self, image: str) -> str:
        sample = sample_of(self.settings)
        is_azure = self.settings.host == "azure-functions"
        host = _AZURE_WORKER.format(version=self.python_version) if is_azure else "/opt/fnpack"
        facts = {
            "app_root": _ROOT,
            "package_folders": [f"/{function_app.SITE_PACKAGES}"],
            "site_folders": [],
            "host_folders": [host],
            "keeps_bytecode": False,
            "is_watched": False,
            "sample": sample.facts() if sample else None,
        }
        given = json.dumps(facts).encode() + b"\n" + (sample.data if sample else b"")
        return verdict(
            _ended(self.api, image, self.python, given, self.settings.check_timeout_s), self.settings
        )


def _ended(api: APIClient, image: str, python: str, given: bytes, timeout_s: float) -> Ended:
    from docker.errors import APIError, DockerException
    from requests import RequestException

    container = ""
    try:
        container = _created(api, image, python)
        stdin = api.attach_socket(container, params={"stdin": 1, "stream": 1})
        api.start(container)
        _send(stdin, given)
        try:
            code = int(api.wait(container, timeout=ceil(timeout_s))["StatusCode"])
        except RequestException as error:
            report, output = _said(api, container)
            raise CheckTooSlow(read_report(report).step, timeout_s, last_lines(output)) from error
        report, output = _said(api, container)
        return Ended(read_report(report), output, code)
    except APIError as error:
        raise NotStarted(f"the Engine cannot run it: {error.explanation or error}") from error
    except (DockerException, OSError) as error:
        raise NotStarted(f"the Engine cannot run it: {error}") from error
    finally:
        if container:
            with contextlib.suppress(DockerException, RequestException):
                api.remove_container(container, force=True)


def _created(api: APIClient, image: str, python: str) -> str:
    limits = api.create_host_config(
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": ""},  # noqa: S108 - in the image
        cap_drop=["ALL"],
    )
    made = api.create_container(
        image, ["-c", CHILD.read_text("utf-8")], entrypoint=[python], stdin_open=True, host_config=limits,
        working_dir=_ROOT,
    )  # fmt: skip
    return str(made["Id"])


def _send(stdin: object, data: bytes) -> None:
    """Write all and close the writing side, which is how the child knows that there is no more."""
    import socket as sockets

    connection = cast("socket.socket", getattr(stdin, "_sock", stdin))
    with contextlib.suppress(OSError):  # the child has ended already
        connection.sendall(data)
        connection.shutdown(sockets.SHUT_WR)
    with contextlib.suppress(OSError):
        cast("socket.socket", stdin).close()


def _said(api: APIClient, container: str) -> tuple[str, str]:
    stdout = api.logs(container, stdout=True, stderr=False)
    stderr = api.logs(container, stdout=False, stderr=True)
    return stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace")
