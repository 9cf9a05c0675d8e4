"""Writes an image's config from its base's: the OCI image configuration, with Docker's health check."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import cast

from fnpack.oci.base import Base
from fnpack.oci.content import Layer
from fnpack.oci.errors import PlanInvalid
from fnpack.oci.runtime import Runtime

_KEPT = ("architecture", "os", "os.version", "os.features", "variant")
_CREATED_BY = "fnpack"
_LONGEST_EPOCH = 11  # digits: up to the year 5138


def image_config(base: Base, layers: Sequence[Layer], runtime: Runtime, epoch_s: int) -> dict[str, object]:
    """The config of an image of the base's layers and `layers` on top."""
    created = utc(epoch_s)
    known = base.config
    diff_ids = [layer.diff_id for layer in (*base.layers, *layers)]
    own = [{"created": created, "created_by": _CREATED_BY, "comment": layer.title} for layer in layers]
    return {
        **{key: known[key] for key in _KEPT if known.get(key)},
        "created": created,
        "config": _settings(cast("Mapping[str, object]", known.get("config") or {}), runtime),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [*_history(base, created), *own],
    }


def utc(epoch_s: int) -> str:
    """A time as configs and annotations have it (RFC 3339)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_s))


def source_date_epoch(environ: Mapping[str, str]) -> int:
    """The time that SOURCE_DATE_EPOCH gives, in Unix seconds; 0 without it. Layers never depend on it."""
    text = environ.get("SOURCE_DATE_EPOCH", "").strip()
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_EPOCH:
        raise PlanInvalid(
            f"SOURCE_DATE_EPOCH is `{text[:40]}`, which is no time",
            hint="set it to seconds since 1970, or unset it",
        )
    return int(text)


def _settings(known: Mapping[str, object], runtime: Runtime) -> dict[str, object]:
    settings = {**known, **runtime.settings}
    variables = dict(entry.partition("=")[::2] for entry in cast("list[str]", known.get("Env") or []))
    variables |= runtime.variables
    labels = {**cast("Mapping[str, str]", known.get("Labels") or {}), **runtime.labels}
    ports = {
        **cast("Mapping[str, object]", known.get("ExposedPorts") or {}),
        **{port: {} for port in runtime.ports},
    }
    settings |= {"Env": [f"{name}={value}" for name, value in variables.items()]}
    settings |= {"Labels": labels, "ExposedPorts": ports}
    return {key: value for key, value in settings.items() if value not in (None, {}, [])}


def _history(base: Base, created: str) -> list[object]:
    """The base's, if it accounts for each of its layers; engines refuse a history that does not."""
    known = base.config.get("history")
    entries = cast("list[Mapping[str, object]]", known) if isinstance(known, list) else []
    if sum(1 for entry in entries if not entry.get("empty_layer")) == len(base.layers):
        return list(entries)
    return [{"created": created, "comment": "base image"} for _ in base.layers]
