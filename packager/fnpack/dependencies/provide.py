"""From requirements to wheels, the whole way: lock, choose, build what is local, fetch what is not here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fnpack.cache_pruning import used
from fnpack.dependencies import cache
from fnpack.dependencies.built import fitting
from fnpack.dependencies.index import PackageIndex
from fnpack.dependencies.lock import Requirements, lock
from fnpack.dependencies.lockfile import Lock
from fnpack.dependencies.selection import Selected, select
from fnpack.dependencies.target import Target
from fnpack.dependencies.wheels import WheelFile
from fnpack.progress import Progress, ignore
from fnpack.spec import LockMode

if TYPE_CHECKING:
    from fnpack.dependencies.resolver import Answers


class Dependencies(NamedTuple):
    """What was resolved. Nothing of an index is fetched yet.

    `requirements_txt` is the app's, `selected` what each target gets. `local` are the files that no index has: wheels
    built from folders and repositories, and archives of `find-links`; pip in an image build needs them beside it.
    """

    lock: Lock
    requirements_txt: str
    selected: dict[Target, tuple[Selected, ...]]
    local: tuple[Path, ...]
    package_index: PackageIndex


def resolve(
    requirements: Requirements,
    targets: Sequence[Target],
    *,
    project: Path,
    index: PackageIndex | None = None,
    mode: LockMode = "reuse",
    progress: Progress = ignore,
    answers: Answers | None = None,
) -> Dependencies:
    """Lock `requirements` for `targets` (one Python version), and build the packages that are on this machine only.

    `project` is the folder that the lock file is kept in. The first target decides about wheels that are compiled
    here. What was resolved before is read from the lock and the cache, in a few milliseconds; `answers` holds what uv
    said before in this build. Raises DependencyError.
    """
    index = PackageIndex.discover() if index is None else index
    locked = lock(requirements, targets, project=project, index=index, mode=mode, answers=answers)
    selected = {target: select(locked, target) for target in targets}
    first = selected[targets[0]]
    private = [one for one in first if one.url is None or one.kind == "git"]
    places = _files(private, index, progress)
    built = {one.name: _built(one, places, targets[0], index) for one in private if _is_pinned_by_build(one)}
    text = _text(locked, built)
    local = [built[one.name].path if one.name in built else places[one] for one in private]
    return Dependencies(locked, text, selected, tuple(local), index)


def wheels(
    dependencies: Dependencies,
    target: Target,
    progress: Progress = ignore,
    *,
    only: Sequence[str] | None = None,
) -> tuple[WheelFile, ...]:
    """The wheels of `target`, sorted by name; what is not in the cache is fetched or built.

    `only` names the packages that are needed, where the layers of the others are known already.
    """
    wanted = [one for one in dependencies.selected[target] if only is None or one.name in only]
    places = _files(wanted, dependencies.package_index, progress)
    found = [one.wheel or _built(one, places, target, dependencies.package_index) for one in wanted]
    return tuple(sorted(found, key=lambda wheel: wheel.name))


def _files(selected: Sequence[Selected], index: PackageIndex, progress: Progress) -> dict[Selected, Path]:
    places = {one: cache.place_of(one.sha256, one.filename) for one in selected if one.sha256}
    for place in places.values():
        used(place)
    if all(place.is_file() for place in places.values()):
        return places
    from fnpack.dependencies.fetch import fetch  # HTTP and threads are not imported for a warm cache

    return fetch(selected, index, progress)


def _built(one: Selected, places: dict[Selected, Path], target: Target, index: PackageIndex) -> WheelFile:
    known = fitting(one, target)
    if known is not None:
        return known
    from fnpack.dependencies.sources import build_wheel

    return build_wheel(one, places.get(one), target, index)


def _is_pinned_by_build(one: Selected) -> bool:
    """A folder and a git commit have no hash that pip could check; their wheel has."""
    return one.kind in {"folder", "git"}


def _text(locked: Lock, built: dict[str, WheelFile]) -> str:
    facts = [locked.digest, *(f"{name}={wheel.sha256}" for name, wheel in sorted(built.items()))]
    key = hashlib.sha256("\0".join(facts).encode()).hexdigest()
    kept = cache.read_note("requirements", key)
    if isinstance(kept, str):
        return kept
    from fnpack.dependencies.requirements_txt import requirements_txt

    text = requirements_txt(locked, built)
    cache.write_note("requirements", key, text)
    return text
