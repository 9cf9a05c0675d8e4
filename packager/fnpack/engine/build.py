"""One image build: context up, session beside it, progress down, an image id at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fnpack.engine.context import tar_stream
from fnpack.engine.errors import EngineMissing, ImageBuildFailed
from fnpack.engine.logins import login_for
from fnpack.engine.redaction import Redactor
from fnpack.engine.sdk import inspect_image, post
from fnpack.engine.session import Session, SessionRefused, build_methods
from fnpack.engine.trace import BuildTrace
from fnpack.progress import Progress
from fnpack.spec import RegistryLogin

if TYPE_CHECKING:
    from docker.api.client import APIClient
    from requests import Response

CONNECT_TIMEOUT_S = 20
BUILDKIT = "2"


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build; `repr` leaves the secrets out."""

    context: Path
    tags: Sequence[str]
    platform: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    network: str | None = None
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def build(api: APIClient, request: BuildRequest, logins: Sequence[RegistryLogin], progress: Progress) -> str:
    """Build the context's `Dockerfile`; returns the image id. Raises `ImageBuildFailed`, `EngineMissing`."""
    from requests import RequestException

    def credentials(registry: str) -> tuple[str, str]:
        login = login_for(api, registry, logins)
        # BuildKit takes an identity token as a password without a user name.
        return login.get("username", ""), login.get("identitytoken") or login.get("password", "")

    redact = Redactor(request.secrets.values())
    trace = BuildTrace(progress, redact)
    try:
        with Session(api, build_methods(request.secrets, credentials)) as session:
            response = _start(api, request, session.id, progress)
            try:
                return _follow(response, trace, redact) or _image_of_tag(api, request.tags)
            finally:
                response.close()  # on Ctrl-C this is what stops the build
    except SessionRefused as exc:
        raise EngineMissing(
            f"the Engine here does not open BuildKit sessions (it answered {exc.status})",
            hint="Use Docker Engine 18.09 or newer.",
        ) from exc
    except (RequestException, OSError) as exc:
        raise ImageBuildFailed(
            f"the connection to the Engine broke ({type(exc).__name__})",
            hint="Look at the Engine's log (journalctl -u docker) and its disk space.",
        ) from exc


def _start(api: APIClient, request: BuildRequest, session: str, progress: Progress) -> Response:
    options = {
        "version": BUILDKIT,
        "session": session,
        "dockerfile": "Dockerfile",
        "buildargs": json.dumps(dict(request.build_args)) if request.build_args else None,
        "platform": request.platform,
        "networkmode": request.network,
    }
    params = [(key, value) for key, value in options.items() if value is not None]
    params += [("t", tag) for tag in request.tags]
    # A step may be silent for as long as it likes: no read timeout.
    body = tar_stream(request.context, progress)
    headers = {"Content-Type": "application/x-tar"}
    response = post(
        api, "/build", params=params, data=body, headers=headers, timeout=(CONNECT_TIMEOUT_S, None)
    )
    if response.status_code >= 400:
        answer = _message(response.text)
        response.close()
        raise ImageBuildFailed(f"the Engine refused the build: {Redactor(request.secrets.values())(answer)}")
    return response


def _message(body: str) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.strip() or "no reason given"


def _follow(response: Response, trace: BuildTrace, redact: Redactor) -> str | None:
    image_id: str | None = None
    for line in _json_lines(response):
        aux, failed = line.get("aux"), line.get("errorDetail") or line.get("error")
        if line.get("id") == "moby.buildkit.trace" and isinstance(aux, str):
            trace.feed(aux)
        elif isinstance(aux, Mapping) and isinstance(aux.get("ID"), str):
            image_id = str(aux["ID"])
        elif failed:
            raise _failure(
                trace, redact(str(failed.get("message") if isinstance(failed, Mapping) else failed))
            )
    return image_id


def _json_lines(response: Response) -> Iterator[Mapping[str, object]]:
    for line in response.iter_lines(chunk_size=None):
        if line.strip():
            yield cast("Mapping[str, object]", json.loads(line))


def _failure(trace: BuildTrace, message: str) -> ImageBuildFailed:
    found = trace.failure()
    if found is None:
        return ImageBuildFailed(message)
    return ImageBuildFailed(found.reason, step=found.step, output=found.output)


def _image_of_tag(api: APIClient, tags: Sequence[str]) -> str:
    from docker.errors import APIError

    try:
        return str(inspect_image(api, tags[0])["Id"])
    except (IndexError, APIError) as exc:
        raise ImageBuildFailed("the Engine ended the build without an image") from exc
