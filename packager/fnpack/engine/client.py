"""The Docker Engine as fnpack uses it: one object for base images, builds and pushes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

from fnpack.engine import base_image, connection, transfer
from fnpack.engine.base_image import BaseImage
from fnpack.engine.logins import login_for, registry_of
from fnpack.engine.sdk import inspect_image
from fnpack.progress import Progress, ignore
from fnpack.spec import RegistryLogin

if TYPE_CHECKING:
    from docker import DockerClient


class Engine:
    """A Docker Engine that has answered. Close it, or use it as a context manager."""

    def __init__(self, client: DockerClient) -> None:
        self.client = client

    @classmethod
    def connect(cls) -> Engine:
        """The Engine that DOCKER_HOST, the docker context or the default socket names. Raises `EngineMissing`."""
        return cls(connection.connect())

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def base_image(
        self,
        reference: str,
        platform: str | None = None,
        logins: Sequence[RegistryLogin] = (),
        progress: Progress = ignore,
    ) -> BaseImage:
        """The base image, pulled if need be, and what Python it holds.

        Raises `BaseImageUnavailable` (FN411) and `BaseImageWithoutPython` (FN412).
        """
        return base_image.find(self.client.api, reference, platform, logins, progress)

    def pull_missing(
        self, reference: str, platform: str, logins: Sequence[RegistryLogin], progress: Progress = ignore
    ) -> None:
        """Pull an image that the Engine does not have for the platform. Raises `BaseImageUnavailable` (FN411)."""
        base_image.present(self.client.api, reference, platform, logins, progress)

    def build(
        self,
        context: Path,
        *,
        tags: Sequence[str],
        platform: str | None = None,
        secrets: Mapping[str, bytes] | None = None,
        build_args: Mapping[str, str] | None = None,
        logins: Sequence[RegistryLogin] = (),
        progress: Progress = ignore,
        network: str | None = None,
    ) -> str:
        """Build `context/Dockerfile` with BuildKit and tag the image; returns its id (`sha256:...`).

        `secrets` are what `RUN --mount=type=secret,id=...` sees; they are in no layer and in no message. Every file
        of the context is sent (no .dockerignore). `network` is the network of RUN steps, such as "host".
        Raises `ImageBuildFailed` (FN413).
        """
        from fnpack.engine.build import BuildRequest, build

        request = BuildRequest(context, tags, platform, build_args or {}, network, secrets or {})
        return build(self.client.api, request, logins, progress)

    def tag(self, image_id: str, tag: str) -> None:
        """Give an image a name."""
        repository, version = transfer.split_reference(tag)
        self.client.api.tag(image_id, repository, version or "latest", force=True)

    def remove_unnamed(self, image_id: str) -> None:
        """Remove an image that has no name; one that has stays, and so does the build's cache."""
        from docker.errors import DockerException

        with suppress(DockerException):
            if not inspect_image(self.client.api, image_id).get("RepoTags"):
                self.client.api.remove_image(image_id)

    def push(self, reference: str, logins: Sequence[RegistryLogin] = (), progress: Progress = ignore) -> str:
        """Push a tag; returns `registry/repository@sha256:...`. Raises `PushFailed` (FN414)."""
        api = self.client.api
        digest = transfer.push(api, reference, login_for(api, registry_of(reference), logins), progress)
        return f"{transfer.split_reference(reference)[0]}@{digest}"

    def digest_reference(self, image_id: str, tag: str) -> str:
        """What names exactly this image: its digest in the tag's repository if it was pushed there, else its id."""
        repository = transfer.split_reference(tag)[0]
        known = cast("Sequence[str]", inspect_image(self.client.api, image_id).get("RepoDigests") or ())
        return next((name for name in known if name.rpartition("@")[0] == repository), image_id)
