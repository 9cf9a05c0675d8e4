"""An image that was opened for looking: config, layers' descriptors and SBOM, wherever they come from."""

from __future__ import annotations

import json
import platform as machine
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Literal, Protocol, cast

from fnpack.inspection.errors import NotAnImage
from fnpack.oci.content import CONFIG, Descriptor

Kind = Literal["registry", "oci-layout", "docker-archive", "engine"]
LARGEST_DOCUMENT_BYTES = 32 * 1024 * 1024
_OPENERS: dict[Kind, str] = {
    "registry": "fnpack.inspection.registry_image:open_image",
    "oci-layout": "fnpack.inspection.layout_image:open_image",
    "docker-archive": "fnpack.inspection.archive_image:open_image",
    "engine": "fnpack.inspection.engine_image:open_image",
}
_CONFIGS = (CONFIG, "application/vnd.docker.container.image.v1+json")
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Sbom:
    """An SBOM that is attached to an image: the digest of its manifest, and the document."""

    digest: str
    document: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """One platform's image. `digest` is its manifest's, or None; `index_digest` is that of the index around it, if any.

    `layers` have sizes as they are moved if `is_compressed`, else unpacked. `platforms` are all that the reference is
    for. `note` says what could not be read.
    """

    kind: Kind
    reference: str
    config: Mapping[str, object] = field(repr=False)
    config_digest: str
    layers: tuple[Descriptor, ...] = field(repr=False)
    is_compressed: bool = True
    digest: str | None = None
    index_digest: str | None = None
    platforms: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    sbom: Sbom | None = None
    note: str = ""


class _Opener(Protocol):
    def __call__(
        self, reference: str, platform: str | None, insecure: Sequence[str]
    ) -> OpenedImage | None: ...


def open_image(reference: str, platform: str | None = None, insecure: Sequence[str] = ()) -> OpenedImage:
    """The image that `reference` names: as `fnpack build` prints it, or as in a registry or the Docker Engine.

    Of an image for several platforms it is `platform`, by default this machine's or else the first. Raises NotAnImage,
    RegistryError, BaseSourceError, EngineMissing.
    """
    scheme, _, place = reference.partition(":")
    match scheme:
        case "oci-layout" | "docker-archive":
            return _opened(scheme, place, platform, insecure)
        case "sha256":
            return _opened("engine", reference, platform, insecure)
    if not _names_registry(reference) and _engine_has(reference):
        return _opened("engine", reference, platform, insecure)
    return _opened("registry", reference, platform, insecure)


def _opened(kind: Kind, place: str, platform: str | None, insecure: Sequence[str]) -> OpenedImage:
    module, _, name = _OPENERS[kind].partition(":")
    found = cast("_Opener", getattr(import_module(module), name))(place, platform, insecure)
    assert found is not None
    return found


def _names_registry(reference: str) -> bool:
    first, slash, _ = reference.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def _engine_has(reference: str) -> bool:
    """As for base images: a name without a registry may be one that only the Engine has."""
    from fnpack.oci.local_engine import has_image

    return has_image(reference)


def pick(platforms: Sequence[str], wanted: str | None) -> str | None:
    """The platform to show: the one wanted, else this machine's, else the first."""
    if wanted is not None or not platforms:
        return wanted
    own = f"linux/{_ARCHITECTURES.get(machine.machine().lower(), 'amd64')}"
    near = [one for one in platforms if f"{one}/".startswith(f"{own}/")]
    return (near or list(platforms))[0]


def platform_of(entry: Mapping[str, object]) -> str:
    """`os/architecture[/variant]` of a config or of an index's entry; "" where it says none."""
    return "/".join(str(entry[key]) for key in ("os", "architecture", "variant") if entry.get(key))


def check_manifest(manifest: Mapping[str, object], reference: str) -> None:
    """Raise NotAnImage for the manifest of something else."""
    config = manifest.get("config")
    kind = config.get("mediaType") if isinstance(config, Mapping) else None
    artifact = manifest.get("artifactType")
    if artifact or (kind is not None and kind not in _CONFIGS):
        raise NotAnImage(
            f"`{reference}` is no image but an artifact of type `{str(artifact or kind)[:100]}`",
            hint="name the image that it belongs to",
        )


def parsed(data: bytes, reference: str) -> Mapping[str, object]:
    """A JSON object. Raises NotAnImage."""
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise NotAnImage(f"`{reference}` is no image: what should describe it is no JSON object")
    return found


def texts(value: object) -> dict[str, str]:
    """Annotations or labels; what is no text is left out."""
    items = value.items() if isinstance(value, Mapping) else ()
    return {key: text for key, text in items if isinstance(key, str) and isinstance(text, str)}
