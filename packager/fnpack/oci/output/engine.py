"""Loads an image into the Docker Engine, with no more layers than it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from fnpack.oci.errors import EngineRefused
from fnpack.oci.output.archive import archive_blocks, docker_blocks
from fnpack.oci.plan import Image
from fnpack.progress import Progress, ProgressEvent, ignore

if TYPE_CHECKING:
    from docker.api.client import APIClient

_CONTAINERD = "io.containerd.snapshotter.v1"


class ImageEngine(Protocol):
    """An Engine, as far as images go: `fnpack.oci.local_engine.LocalEngine`, or one that the SDK reaches."""

    def inspect_image(self, name: str) -> Mapping[str, object] | None:
        """Its description of an image, or None if it has none of that name."""

    def info(self) -> Mapping[str, object]:
        """Its description of itself."""

    def load(self, archive: Iterable[bytes]) -> str | None:
        """Take what `docker load` takes; returns a complaint."""


@dataclass(frozen=True, slots=True)
class SdkEngine:
    """An Engine that the docker SDK reaches, wherever it is."""

    api: APIClient

    def inspect_image(self, name: str) -> Mapping[str, object] | None:
        """Its description of an image, or None if it has none of that name."""
        from docker.errors import APIError

        from fnpack.engine.sdk import inspect_image

        try:
            return inspect_image(self.api, name)
        except APIError:
            return None

    def info(self) -> Mapping[str, object]:
        """Its description of itself."""
        return cast("Mapping[str, object]", self.api.info())

    def load(self, archive: Iterable[bytes]) -> str | None:
        """Take what `docker load` takes; returns a complaint."""
        from docker.errors import APIError, DockerException
        from requests import RequestException

        from fnpack.engine.sdk import load_image

        try:
            for line in load_image(self.api, archive):
                if "error" in line or "errorDetail" in line:
                    return str(line.get("error") or line["errorDetail"])
        except APIError as exc:
            return str(exc.explanation or exc)
        except (DockerException, RequestException) as exc:
            return f"the connection broke ({type(exc).__name__})"
        return None


def load(
    engine: ImageEngine,
    image: Image,
    tag: str,
    *,
    related: Sequence[str] = (),
    progress: Progress = ignore,
) -> str:
    """Load the image under `tag`; returns its id. What was loaded before is seen in the images `tag` and `related`.

    `related` are names of images that may share layers, such as the base's. Raises EngineRefused.
    """
    step = f"load {tag}"
    progress(ProgressEvent(step, "started"))
    shared = _shared(image, _layers_of(engine, (tag, *related)))
    refused: str | None = ""
    if shared and not keeps_blobs(engine):
        sent = len(image.layers) - len(shared)
        refused = engine.load(docker_blocks(image, tag, shared))  # may fail: a layer may be gone by now
    if refused is not None:
        sent = len(image.layers)
        refused = engine.load(archive_blocks([image], tag, for_docker=True))
    if refused is not None:
        progress(ProgressEvent(step, "failed", refused))
        raise EngineRefused(
            f"the Docker Engine did not take the image: {refused}",
            hint="check the Engine's disk space and log; `--output docker-archive` writes the image to a file",
        )
    loaded = engine.inspect_image(tag)
    if loaded is None:
        raise EngineRefused(f"the Docker Engine took the image, but does not have `{tag}`")
    progress(ProgressEvent(step, "done", f"{sent} of {len(image.layers)} layers sent"))
    return str(loaded["Id"])


def keeps_blobs(engine: ImageEngine) -> bool:
    """Whether the Engine keeps layers as containerd does, by their compressed bytes: then it needs all of them."""
    status = engine.info().get("DriverStatus")
    return any(_CONTAINERD in pair for pair in status) if isinstance(status, list) else False


def _layers_of(engine: ImageEngine, names: Iterable[str]) -> list[Sequence[str]]:
    found: list[Sequence[str]] = []
    for name in names:
        rootfs = (engine.inspect_image(name) or {}).get("RootFS")
        layers = rootfs.get("Layers") if isinstance(rootfs, Mapping) else None
        if isinstance(layers, list):
            found.append(layers)
    return found


def _shared(image: Image, has: Iterable[Sequence[str]]) -> set[str]:
    """The layers that the Engine has on top of the same layers: it knows a layer by all those below it."""
    own = [layer.diff_id for layer in image.layers]
    longest = 0
    for layers in has:
        count = 0
        while count < min(len(own), len(layers)) and own[count] == layers[count]:
            count += 1
        longest = max(longest, count)
    above = set(own[longest:])  # a layer that is there twice is sent
    return set(own[:longest]) - above
