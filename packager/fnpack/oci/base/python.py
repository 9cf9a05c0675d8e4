"""Finds out which Python and which C library a base image has, by reading its layers. Nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from fnpack.oci.base import Base
from fnpack.oci.cache import LayerCache
from fnpack.oci.recipe import key_of

if TYPE_CHECKING:
    from fnpack.oci.base.scan import BaseTree

Libc = Literal["glibc", "musl"]
_SCHEMA = "python 1"
_KIND = "base-pythons"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class BasePython:
    """The `python3` of a base image: "3.11" and the path of its program, or None; the C library that wheels must fit.

    `site` is the folder that its own packages are in, if it has one.
    """

    version: str | None
    program: str | None
    libc: Libc | None
    libc_version: tuple[int, int] | None
    site: str | None


def find_python(base: Base, cache: LayerCache) -> BasePython:
    """The Python that `python3` starts in the base image. Each layer is read once, and kept.

    Raises BaseInvalid for a layer that cannot be read.
    """
    key = key_of(_SCHEMA, *base.diff_ids, *search_path(base))
    kept = cache.note(_KIND, key)
    if isinstance(kept, dict):
        version = kept["libc_version"]
        return BasePython(**{**kept, "libc_version": tuple(version) if version else None})
    from fnpack.oci.base.scan import BaseTree

    found = _search(BaseTree.of(base, cache), search_path(base))
    cache.write_note(_KIND, key, {name: getattr(found, name) for name in BasePython.__dataclass_fields__})
    return found


def search_path(base: Base) -> list[str]:
    """The folders of the image's PATH."""
    settings = cast("Mapping[str, object]", base.config.get("config") or {})
    for entry in cast("list[str]", settings.get("Env") or []):
        name, _, value = entry.partition("=")
        if name == "PATH":
            return value.split(":")
    return _DEFAULT_PATH.split(":")


def _search(tree: BaseTree, path: list[str]) -> BasePython:
    libc, libc_version = tree.libc()
    for folder in path:
        program = tree.resolve(f"{folder}/python3")
        version = tree.version(program) if program else None
        if program and version:
            return BasePython(version, f"/{program}", libc, libc_version, tree.site(program, version))
    return BasePython(None, None, libc, libc_version, None)
