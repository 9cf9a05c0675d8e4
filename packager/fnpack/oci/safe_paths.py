"""Which paths may go into an image."""

from __future__ import annotations

from pathlib import PurePosixPath

from fnpack.oci.errors import UnsafeContent

_MAX_PATH_BYTES, _MAX_PART_BYTES = 4096, 255


def checked(path: str, owner: str) -> str:
    """`path` as it is, if it leads down from where it begins and a file system can hold it. Raises UnsafeContent."""
    parts = path.split("/")
    what = None
    if not path or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        what = "leads out of the image's folder"
    elif "" in parts or "." in parts:
        what = "is not in its plain form"
    elif any(ord(letter) < 32 for letter in path):
        what = "holds a control character"
    elif len(path.encode("utf-8", "surrogateescape")) > _MAX_PATH_BYTES or any(
        len(part.encode("utf-8", "surrogateescape")) > _MAX_PART_BYTES for part in parts
    ):
        what = "is longer than a file system can hold"
    if what:
        raise UnsafeContent(
            f"{owner}: the path {path[:200]!r} {what}",
            hint="nothing was built; use another release of the package, and tell its authors",
        )
    return PurePosixPath(path).as_posix()
