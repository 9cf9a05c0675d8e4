"""Finds the files that more than one wheel brings, without installing any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack.oci.cache import LayerCache
from fnpack.oci.errors import WheelsClash
from fnpack.oci.names import shown
from fnpack.oci.recipe import key_of

if TYPE_CHECKING:
    from fnpack.dependencies.wheels import WheelFile
    from fnpack.oci.place import Place

_SCHEMA = "clashes 1"
_KIND = "clashes"


@dataclass(frozen=True, slots=True)
class Clashes:
    """Which wheel leaves which files to another, by its hash. `different` are those that are not the same in both.

    The wheel whose name comes later in the alphabet wins, as when pip installs one after the other. `different` has
    (path, the project that wins, the project that loses).
    """

    key: str
    left_out: Mapping[str, frozenset[str]]
    different: tuple[tuple[str, str, str], ...]
    path_files: tuple[
        str, ...
    ] = ()  # `.pth` files at the top, which Python reads in folders that it knows as sites

    def to_json(self) -> dict[str, object]:
        """As it is kept."""
        return {
            "left_out": {sha256: sorted(paths) for sha256, paths in sorted(self.left_out.items())},
            "different": [list(one) for one in self.different],
            "path_files": list(self.path_files),
        }

    @classmethod
    def from_json(cls, key: str, kept: object) -> Clashes | None:
        """What was kept, or None if it is something else."""
        try:
            assert isinstance(kept, dict)
            left_out = {str(sha): frozenset(map(str, paths)) for sha, paths in kept["left_out"].items()}
            different = tuple((str(p), str(w), str(loser)) for p, w, loser in kept["different"])
            path_files = tuple(map(str, kept["path_files"]))
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
            return None
        return cls(key, left_out, different, path_files)


def find_clashes(
    wheels: Sequence[WheelFile],
    place: Place,
    cache: LayerCache,
    known: Mapping[str, object],
    fetch: Callable[[Sequence[str]], object] | None,
) -> Clashes:
    """The clashes of a set of wheels; read from the cache, or from `known`, where the set is the same.

    Raises WheelsClash if something is a file in one and a folder in another, and WheelInvalid.
    """
    ordered = sorted(wheels, key=lambda wheel: wheel.name)
    key = key_of(_SCHEMA, place.interpreter is not None, place.is_slim, *(wheel.sha256 for wheel in ordered))
    for kept in (cache.note(_KIND, key), known.get(key)):
        if (found := Clashes.from_json(key, kept)) is not None:
            return found
    missing = [wheel.name for wheel in ordered if not wheel.path.is_file()]
    if missing and fetch is not None:
        fetch(missing)
    found = _compare(key, ordered, place)
    cache.write_note(_KIND, key, found.to_json())
    return found


_Owner = tuple["WheelFile", object]


def _compare(key: str, wheels: Sequence[WheelFile], place: Place) -> Clashes:
    owners: dict[str, _Owner] = {}
    left_out: dict[str, set[str]] = {}
    different: list[tuple[str, str, str]] = []
    for wheel in wheels:
        for path, content in _contents(wheel, place):
            if path in owners:
                loser, other = owners[path]
                left_out.setdefault(loser.sha256, set()).add(path)
                if content != other:
                    different.append((path, wheel.name, loser.name))
            owners[path] = wheel, content
    _check_folders(owners)
    path_files = tuple(sorted(path for path in owners if path.endswith(".pth") and "/" not in path))
    leaves = {sha256: frozenset(paths) for sha256, paths in left_out.items()}
    return Clashes(key, leaves, tuple(sorted(different)), path_files)


def _contents(wheel: WheelFile, place: Place) -> list[tuple[str, object]]:
    """Each file's path, and what tells two files with that path apart."""
    from dataclasses import replace

    from fnpack.oci.installed import installed_files
    from fnpack.oci.wheel import read_wheel

    checked = read_wheel(wheel.path, wheel.filename)
    with wheel.path.open("rb") as archive:
        files = installed_files(
            checked, replace(place, is_slim=False), archive
        )  # libraries are not read for this
    return [
        (
            one.path,
            one.data
            if one.member is None or one.data is not None
            else (one.member.size_bytes, one.member.crc),
        )
        for one in files
    ]


def _check_folders(owners: Mapping[str, _Owner]) -> None:
    for path in owners:
        above = path
        while (cut := above.rfind("/")) > 0:
            above = above[:cut]
            if above in owners:
                inside, file = owners[path][0], owners[above][0]
                raise WheelsClash(
                    f"`{shown(above)}` is a file in {file.name} {file.version} and a folder in "
                    f"{inside.name} {inside.version}: they cannot be installed side by side",
                    hint="do without one of them, or use another version",
                )
