"""What `fnpack inspect` tells of an image: read from config, labels and SBOM, which may be a stranger's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from fnpack.inspection.opened import OpenedImage, platform_of, texts
from fnpack.oci.content import Descriptor
from fnpack.provenance.contents import MODELS_LABEL
from fnpack.provenance.long_labels import whole

_OWN = "fnpack"  # who made a layer, in the config's history
_TITLE_WIDTH = 80
_ANNOTATIONS = "org.opencontainers.image."


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """A layer. `is_base` says that it is the base image's; None where nobody knows."""

    title: str
    digest: str
    size_bytes: int
    media_type: str
    is_base: bool | None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model. `sha256` is what `sha256sum` prints of its file; of a folder the digest of its listing."""

    name: str
    version: str
    sha256: str
    size_bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """A function: what starts it, where, and the settings that it needs at run time."""

    name: str
    trigger: str
    where: str
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """A package, as the SBOM has it. `part` is `app` or `host`."""

    name: str
    version: str
    purl: str
    part: str


@dataclass(frozen=True, slots=True)
class Report:
    """All of it. `packages` is None where no SBOM tells them; sizes are packed ones if `is_compressed`."""

    image: OpenedImage = field(repr=False)
    platform: str
    created: str
    size_bytes: int
    base_name: str
    base_digest: str
    fnpack_version: str
    host: str
    python_version: str
    entry_script: str
    entry_script_sha256: str
    layers: tuple[LayerFacts, ...]
    models: tuple[ModelFacts, ...]
    functions: tuple[FunctionFacts, ...]
    packages: tuple[PackageFacts, ...] | None
    annotations: Mapping[str, str]

    @property
    def is_ours(self) -> bool:
        """Whether fnpack made the image."""
        return bool(self.fnpack_version)

    @property
    def base_layers(self) -> tuple[LayerFacts, ...]:
        """The layers of the base image, as far as they are known to be."""
        return tuple(layer for layer in self.layers if layer.is_base)

    def facts(self) -> dict[str, object]:
        """The report for a program, as docs/provenance.md describes it."""
        image, sbom = self.image, self.image.sbom
        base = {"name": self.base_name or None, "digest": self.base_digest or None}
        script = {"path": self.entry_script, "sha256": self.entry_script_sha256}
        return {
            "image": image.reference,
            "kind": image.kind,
            "digest": image.digest,
            "index": image.index_digest,
            "id": image.config_digest,
            "platform": self.platform,
            "platforms": list(image.platforms or (self.platform,)),
            "created": self.created or None,
            "size_bytes": self.size_bytes,
            "compressed": image.is_compressed,
            "base_image": base if self.base_name else None,
            "fnpack_version": self.fnpack_version or None,
            "host": self.host or None,
            "python_version": self.python_version or None,
            "entry_script": script if self.entry_script else None,
            "functions": [asdict(one) for one in self.functions],
            "models": [asdict(one) for one in self.models],
            "layers": [_layer_facts(one) for one in self.layers],
            "packages": None if self.packages is None else [asdict(one) for one in self.packages],
            "sbom": None if sbom is None else sbom.digest,
            "annotations": dict(sorted(self.annotations.items())),
        }


def report_of(image: OpenedImage) -> Report:
    """Read what the image tells of itself; what is missing or malformed is left empty."""
    config = image.config
    run = config.get("config")
    labels = texts(run.get("Labels")) if isinstance(run, Mapping) else {}
    said = {key: text for key, text in labels.items() if key.startswith(_ANNOTATIONS)}
    return Report(
        image,
        platform=platform_of(config),
        created=_text(config.get("created")),
        size_bytes=sum(layer.size_bytes for layer in image.layers),
        base_name=labels.get("org.opencontainers.image.base.name", ""),
        base_digest=labels.get("org.opencontainers.image.base.digest", ""),
        fnpack_version=labels.get("io.fnpack.version", ""),
        host=labels.get("io.fnpack.host", ""),
        python_version=labels.get("io.fnpack.python", ""),
        entry_script=labels.get("io.fnpack.entry-script", ""),
        entry_script_sha256=labels.get("io.fnpack.entry-script.sha256", ""),
        layers=tuple(_layers(image)),
        models=tuple(_models(whole(labels, MODELS_LABEL))),
        functions=tuple(_functions(labels.get("io.fnpack.functions", ""))),
        packages=None if image.sbom is None else tuple(_packages(image.sbom.document)),
        annotations={**said, **image.annotations},
    )


def _layers(image: OpenedImage) -> Iterator[LayerFacts]:
    """The layers with their titles. Those that fnpack made are on top, all below are the base image's."""
    steps = [one for one in _objects(image.config.get("history")) if not one.get("empty_layer")]
    if len(steps) != len(image.layers):
        steps = [{} for _ in image.layers]
    own = sum(step.get("created_by") == _OWN for step in steps)
    for number, (layer, step) in enumerate(zip(image.layers, steps, strict=True)):
        is_base = number < len(steps) - own if own else None
        yield _layer(layer, step, is_base)


def _layer(layer: Descriptor, step: Mapping[str, object], is_base: bool | None) -> LayerFacts:
    made_by = _text(step.get("created_by"))
    title = _text(step.get("comment")) if made_by == _OWN else made_by
    for start in ("/bin/sh -c #(nop) ", "/bin/sh -c "):
        title = title.removeprefix(start)
    title = " ".join(title.removesuffix("# buildkit").split())
    short = title if len(title) <= _TITLE_WIDTH else f"{title[: _TITLE_WIDTH - 3]}..."
    return LayerFacts(short, layer.digest, layer.size_bytes, layer.media_type, is_base)


def _layer_facts(layer: LayerFacts) -> dict[str, object]:
    return {
        "title": layer.title,
        "digest": layer.digest,
        "size_bytes": layer.size_bytes,
        "media_type": layer.media_type,
        "base": layer.is_base,
    }


def _models(label: str) -> Iterator[ModelFacts]:
    for one in _objects(_json(label)):
        name, version, sha256 = (_text(one.get(key)) for key in ("name", "version", "sha256"))
        yield ModelFacts(name, version, sha256, _int(one.get("size_bytes")), _int(one.get("files")))


def _functions(label: str) -> Iterator[FunctionFacts]:
    for one in _objects(_json(label)):
        settings = one.get("settings")
        names = tuple(_text(name) for name in settings) if isinstance(settings, list) else ()
        yield FunctionFacts(_text(one.get("name")), _text(one.get("trigger")), _text(one.get("where")), names)


def _packages(document: Mapping[str, object]) -> Iterator[PackageFacts]:
    """The packages of any CycloneDX document; fnpack's own say by a property which part of the image they are in."""
    found = []
    for one in _objects(document.get("components")):
        if one.get("type") != "library":
            continue
        properties = {
            _text(each.get("name")): _text(each.get("value")) for each in _objects(one.get("properties"))
        }
        name, version, purl = (_text(one.get(key)) for key in ("name", "version", "purl"))
        found.append(PackageFacts(name, version, purl, properties.get("fnpack:part", "app")))
    yield from sorted(found, key=lambda one: (one.part, one.name, one.version))


def _json(text: str) -> object:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _objects(value: object) -> list[Mapping[str, object]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    """A text on one line, whatever a stranger put there."""
    text = value if isinstance(value, str) else ""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _int(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
