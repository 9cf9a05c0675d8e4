"""What is in an image, as data: packages, models and base image with their digests. It reads nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from fnpack.oci.file_digests import HashedFile
from fnpack.provenance.long_labels import in_pieces

MODELS_LABEL = "io.fnpack.models"
Part = Literal["app", "host"]


class Package(NamedTuple):
    """A package: of the app (pip's or conda's), or of fnpack's host. `sha256` is of its wheel or archive, or ""."""

    kind: Literal["pypi", "conda"]
    part: Part
    name: str
    version: str
    sha256: str
    qualifiers: tuple[tuple[str, str], ...] = ()  # of a conda package's address: build, channel, subdir, type


class ModelContents(NamedTuple):
    """A model's files; their paths are relative to its folder `azureml-models/<name>/<version>`."""

    name: str
    version: str
    files: tuple[HashedFile, ...]

    @property
    def is_file(self) -> bool:
        """Whether the model is one file, and not a folder."""
        return len(self.files) == 1 and "/" not in self.files[0].path

    @property
    def sha256(self) -> str:
        """A file's own digest; of a folder the digest of what `sha256sum` prints of its files, sorted by path."""
        if self.is_file:
            return self.files[0].sha256
        inside = sorted((file.path.partition("/")[2], file.sha256) for file in self.files)
        return hashlib.sha256("".join(f"{sha256}  {path}\n" for path, sha256 in inside).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)


class ImageContents(NamedTuple):
    """All that an SBOM tells of the image of one platform. `base_digest` is `sha256:...`, as in the image's label.

    `base_repository` is `registry/name`, or "" for a base that is in no registry. `created_s` is seconds since 1970.
    """

    title: str
    platform: str
    python_version: str
    base_name: str
    base_digest: str
    base_repository: str
    packages: tuple[Package, ...]
    models: tuple[ModelContents, ...]
    created_s: int = 0


def model_contents(model: str, root: str, files: Iterable[HashedFile]) -> ModelContents:
    """The model `NAME:VERSION`, of files whose paths begin with its folder `root` in the image."""
    name, _, version = model.rpartition(":")
    above = f"{root}/" if root else ""
    inside = (HashedFile(one.path.removeprefix(above), one.sha256, one.size_bytes) for one in files)
    return ModelContents(name, version, tuple(inside))


def models_labels(models: Sequence[tuple[ModelContents, Sequence[str]]]) -> dict[str, str]:
    """The label `io.fnpack.models`, in pieces if it is long.

    JSON, for each model its digest, and the diff ids of its layers, if known.
    """
    entries = []
    for model, diff_ids in models:
        entry: dict[str, object] = {"name": model.name, "version": model.version, "sha256": model.sha256}
        entry |= {"size_bytes": model.size_bytes, "files": len(model.files)}
        if model.is_file:
            entry["file"] = model.files[0].path
        if diff_ids:
            entry["layers"] = list(diff_ids)
        entries.append(entry)
    return in_pieces(MODELS_LABEL, json.dumps(entries, separators=(",", ":")))
