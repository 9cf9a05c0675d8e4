"""An image as registries hold it: config, layers, manifest; and the config of a function app made on a base."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import BinaryIO, NamedTuple

from fnpack.oci.content import (
    CONFIG,
    INDEX,
    LAYER,
    LAYER_GZIP,
    MANIFEST,
    BytesContent,
    Descriptor,
    Layer,
)

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # what Docker takes where a base says none
_OWN_LABELS = "io.fnpack."  # those of a base are about the app that was in it
_DOCKER_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
}


class ImageSettings(NamedTuple):
    """What a function app changes in its base image's config. `env` and `labels` are added to the base's."""

    env: Mapping[str, str]
    labels: Mapping[str, str]
    working_dir: str | None = None
    user: str | None = None
    entrypoint: tuple[str, ...] | None = None  # with one, the base's command goes
    healthcheck: Mapping[str, object] | None = None
    stop_signal: str | None = None
    exposed_ports: tuple[str, ...] = ()


class Image(NamedTuple):
    """One platform's image. `layers` are those of the base first; `sbom` goes with it where there is place for one."""

    platform: str
    config: BytesContent
    layers: tuple[Layer, ...]
    manifest: BytesContent
    sbom: BytesContent | None = None

    @property
    def digest(self) -> str:
        """The manifest's."""
        return self.manifest.descriptor.digest

    @property
    def image_id(self) -> str:
        """The config's digest, which is what the Docker Engine calls the image's id."""
        return self.config.descriptor.digest


def build(
    base_config: Mapping[str, object],
    base_layers: Sequence[Layer],
    layers: Sequence[Layer],
    settings: ImageSettings,
    *,
    created: str,
    annotations: Mapping[str, str],
) -> Image:
    """Put `layers` on a base. `created` is an RFC 3339 time; the same arguments give the same digest."""
    all_layers = tuple(_in_oci_terms(layer) for layer in (*base_layers, *layers))
    config = BytesContent.of(_json(_config(base_config, layers, settings, created)), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor.to_json(),
        "layers": [layer.descriptor.to_json() for layer in all_layers],
        "annotations": dict(sorted(annotations.items())),
    }
    parts = (base_config.get("os"), base_config.get("architecture"), base_config.get("variant"))
    platform = "/".join(str(part) for part in parts if part)
    return Image(platform, config, all_layers, BytesContent.of(_json(manifest), MANIFEST))


def index_of(images: Sequence[Image], annotations: Mapping[str, str]) -> BytesContent:
    """An index of one image for each platform."""
    entries = []
    for image in sorted(images, key=lambda one: one.platform):
        system, architecture, *variant = image.platform.split("/")
        platform = {"architecture": architecture, "os": system}
        if variant:
            platform["variant"] = variant[0]
        entries.append({**image.manifest.descriptor.to_json(), "platform": platform})
    content = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": entries,
        "annotations": dict(sorted(annotations.items())),
    }
    return BytesContent.of(_json(content), INDEX)


def _config(
    base: Mapping[str, object], layers: Sequence[Layer], settings: ImageSettings, created: str
) -> dict[str, object]:
    run = dict(_mapping(base.get("config")))
    run["Env"] = _merged_env(run.get("Env"), settings.env)
    kept = {
        key: value for key, value in _mapping(run.get("Labels")).items() if not key.startswith(_OWN_LABELS)
    }
    run["Labels"] = dict(sorted({**kept, **settings.labels}.items()))
    if settings.entrypoint is not None:
        run["Entrypoint"] = list(settings.entrypoint)
        run.pop("Cmd", None)
    named = {
        "WorkingDir": settings.working_dir,
        "User": settings.user,
        "Healthcheck": settings.healthcheck,
        "StopSignal": settings.stop_signal,
    }
    run |= {key: value for key, value in named.items() if value is not None}
    if settings.exposed_ports:
        ports = {**_mapping(run.get("ExposedPorts")), **{port: {} for port in settings.exposed_ports}}
        run["ExposedPorts"] = dict(sorted(ports.items()))
    rootfs = _mapping(base.get("rootfs"))
    below = rootfs.get("diff_ids")
    history = base.get("history")
    return {
        **{key: base[key] for key in ("architecture", "os", "variant", "os.version") if base.get(key)},
        "created": created,
        "config": dict(sorted(run.items())),
        "rootfs": {
            "type": "layers",
            "diff_ids": [
                *(below if isinstance(below, list) else []),
                *(layer.diff_id for layer in layers),
            ],
        },
        "history": [
            *(history if isinstance(history, list) else []),
            *({"created": created, "created_by": "fnpack", "comment": layer.title} for layer in layers),
        ],
    }


def _merged_env(base: object, added: Mapping[str, str]) -> list[str]:
    """The base's variables and those that are added. Not every runtime finds programs without a PATH."""
    known = [str(entry) for entry in base] if isinstance(base, list) else []
    values = dict(entry.partition("=")[::2] for entry in [_PATH, *known])
    return [f"{name}={value}" for name, value in {**values, **added}.items()]


def _in_oci_terms(layer: Layer) -> Layer:
    """The layer under the media type that an OCI manifest has for it; the bytes are the same."""
    media_type = _DOCKER_LAYERS.get(layer.descriptor.media_type)
    if media_type is None:
        return layer
    descriptor = Descriptor(media_type, layer.descriptor.digest, layer.descriptor.size_bytes)
    return layer._replace(content=_Renamed(descriptor, layer))


class _Renamed(NamedTuple):
    descriptor: Descriptor
    layer: Layer

    def open(self, offset: int = 0) -> BinaryIO:
        """The layer's bytes."""
        return self.layer.content.open(offset)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
