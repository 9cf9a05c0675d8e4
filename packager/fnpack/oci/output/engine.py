"""Loads an image into the Docker Engine, with no more layers than it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from fnpack.engine.sdk import inspect_image, load_image
from fnpack.oci.errors import EngineRefused
from fnpack.oci.output.archive import archive_blocks, docker_blocks
from fnpack.oci.plan import Image
from fnpack.progress import Progress, ProgressEvent, ignore

if TYPE_CHECKING:
    from docker.api.client import APIClient

_CONTAINERD = "io.containerd.snapshotter.v1"


def load(
    api: APIClient,
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
    shared = _shared(image, _layers_of(api, (tag, *related)))
    refused: str | None = ""
    if shared and not keeps_blobs(api):
        sent = len(image.layers) - len(shared)
        refused = _send(api, docker_blocks(image, tag, shared))  # may fail: a layer may be gone by now
    if refused is not None:
        sent = len(image.layers)
        refused = _send(api, archive_blocks([image], tag, for_docker=True))
    if refused is not None:
        progress(ProgressEvent(step, "failed", refused))
        raise EngineRefused(
            f"the Docker Engine did not take the image: {refused}",
            hint="check the Engine's disk space and log; `--output docker-archive` writes the image to a file",
        )
    image_id = _id_of(api, tag)
    progress(ProgressEvent(step, "done", f"{sent} of {len(image.layers)} layers sent"))
    return image_id


def keeps_blobs(api: APIClient) -> bool:
    """Whether the Engine keeps layers as containerd does, by their compressed bytes: then it needs all of them."""
    status = cast("Mapping[str, object]", api.info()).get("DriverStatus")
    return any(_CONTAINERD in pair for pair in status) if isinstance(status, list) else False


def _layers_of(api: APIClient, names: Iterable[str]) -> list[Sequence[str]]:
    from docker.errors import APIError

    found: list[Sequence[str]] = []
    for name in names:
        try:
            rootfs = inspect_image(api, name).get("RootFS")
        except APIError:
            continue
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


def _send(api: APIClient, blocks: Iterable[bytes]) -> str | None:
    """The Engine's complaint, if it has one."""
    from docker.errors import APIError, DockerException
    from requests import RequestException

    try:
        for line in load_image(api, blocks):
            if "error" in line or "errorDetail" in line:
                return str(line.get("error") or line["errorDetail"])
    except APIError as exc:
        return str(exc.explanation or exc)
    except (DockerException, RequestException) as exc:
        return f"the connection broke ({type(exc).__name__})"
    return None


def _id_of(api: APIClient, tag: str) -> str:
    from docker.errors import APIError

    try:
        return str(inspect_image(api, tag)["Id"])
    except APIError as exc:
        reason = exc.explanation or exc
        raise EngineRefused(f"the Docker Engine took the image, but does not have `{tag}`: {reason}") from exc
