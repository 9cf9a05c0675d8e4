"""Pulls and pushes: the Engine's JSON progress lines as events, its errors as one exception."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, cast

from fnpack.engine.errors import PushFailed
from fnpack.engine.logins import AuthConfig, registry_of
from fnpack.progress import Progress, ProgressEvent, Status

if TYPE_CHECKING:
    from docker.api.client import APIClient

Line = Mapping[str, object]
_FINISHED: dict[str, Status] = {
    "Pull complete": "done",
    "Pushed": "done",
    "Already exists": "cached",
    "Layer already exists": "cached",
}
# What a push does with a layer, in the words of fnpack's own registry client.
_STATES = {"Pushed": "pushed", "Layer already exists": "present"}
_MOUNTED = "Mounted from"


class TransferFailed(Exception):  # noqa: N818 - says what happened
    """The Engine's or the registry's own words."""


def pull(api: APIClient, reference: str, platform: str | None, login: AuthConfig, progress: Progress) -> None:
    """Pull exactly one image. Raises `TransferFailed`."""
    repository, tag = split_reference(reference)
    _run(
        lambda: api.pull(
            repository,
            tag=tag or "latest",
            platform=platform,
            auth_config=dict(login),
            stream=True,
            decode=True,
        ),
        f"pull {reference}",
        progress,
    )


def push(api: APIClient, reference: str, login: AuthConfig, progress: Progress) -> str:
    """Push one tag, return its digest (`sha256:...`). Raises `PushFailed`."""
    repository, tag = split_reference(reference)
    tag = tag or "latest"
    try:
        last = _run(
            lambda: api.push(repository, tag=tag, auth_config=dict(login), stream=True, decode=True),
            f"push {reference}",
            progress,
        )
    except TransferFailed as exc:
        raise _push_failure(reference, str(exc), bool(login)) from exc
    digest = last.get("Digest")
    if not isinstance(digest, str):
        raise PushFailed(f"`{reference}` was pushed, but the Engine did not tell its digest")
    return digest


def split_reference(reference: str) -> tuple[str, str | None]:
    """(repository, tag or digest); a registry's port is not a tag."""
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(reference)
    return str(repository), tag


def _run(start: Callable[[], object], step: str, progress: Progress) -> Line:
    """Follow one transfer to its end; returns the last `aux` object."""
    from docker.errors import APIError, DockerException
    from requests import RequestException

    since = time.monotonic()
    progress(ProgressEvent(step, "started"))
    aux: Line = {}
    sizes: dict[str, int] = {}
    try:
        for line in cast("Iterable[Line]", start()):
            if "errorDetail" in line or "error" in line:
                detail = cast("Line", line.get("errorDetail") or {})
                raise TransferFailed(str(detail.get("message") or line.get("error")))
            found = line.get("aux")
            aux = cast("Line", found) if isinstance(found, Mapping) and "Digest" in found else aux
            _report(step, line, progress, sizes)
    except APIError as exc:
        raise TransferFailed(str(exc.explanation or exc)) from exc
    except (DockerException, RequestException, OSError) as exc:
        raise TransferFailed(f"the connection to the Engine broke ({type(exc).__name__})") from exc
    except TransferFailed as exc:
        progress(ProgressEvent(step, "failed", str(exc)))
        raise
    progress(ProgressEvent(step, "done", duration_s=time.monotonic() - since))
    return aux


def _report(step: str, line: Line, progress: Progress, sizes: dict[str, int]) -> None:
    """Tell of a layer; the Engine says its size only while the layer is on its way, so `sizes` keeps it."""
    layer, state = line.get("id"), str(line.get("status", ""))
    if not isinstance(layer, str) or not state:
        return
    size = cast("Mapping[str, int]", line.get("progressDetail") or {})
    current, total = size.get("current"), size.get("total") or sizes.get(layer)
    if total is not None:
        sizes[layer] = total
    is_mounted = state.startswith(_MOUNTED)
    status: Status = "cached" if is_mounted else _FINISHED.get(state, "running")
    if status != "running":
        current = total
    detail = "mounted" if is_mounted else _STATES.get(state, state)
    progress(ProgressEvent(f"{step} {layer}", status, detail, current, total))


def _push_failure(reference: str, answer: str, had_login: bool) -> PushFailed:
    registry, words = registry_of(reference), answer.lower()
    if "http response to https client" in words or "x509" in words or "tls" in words:
        hint = (
            "The Engine speaks HTTPS to every registry but those on loopback. Give this one a trusted "
            f"certificate, or list `{registry}` under insecure-registries in the Engine's daemon.json."
        )
    elif any(
        word in words for word in ("unauthorized", "no basic auth", "authentication required", "denied")
    ):
        said = "The login used may not push there" if had_login else "No login was found for it"
        hint = f"{said}: run docker login {registry}, and check that the repository's name is yours to write."
    elif any(word in words for word in ("connection refused", "no such host", "timeout", "no route")):
        hint = f"Nothing answers at `{registry}`, seen from the Engine: check the name and port, and that it runs."
    elif "does not exist locally" in words or "no such image" in words:
        hint = "Build it first: fnpack build."
    else:
        hint = f"Check `{registry}`; it answered as quoted."
    return PushFailed(f"`{reference}` cannot be pushed: {answer}", hint=hint)
