"""Decides whether the lock beside the project still holds, and makes a new one where it does not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fnpack.dependencies import lockfile
from fnpack.dependencies.errors import DependencyError, LockOutOfDate, UnsatisfiableRequirements
from fnpack.dependencies.index import PackageIndex
from fnpack.dependencies.local import local_inputs, portable
from fnpack.dependencies.lockfile import Inputs, Lock, levels
from fnpack.dependencies.target import USUAL_GLIBC, Target
from fnpack.spec import LockMode

if TYPE_CHECKING:
    from fnpack.dependencies.resolver import Answers


class Requirements(NamedTuple):
    """What a project asks for. `lines` are PEP 508 lines, or absolute paths; `source` says where they came from.

    `provided` are the packages that conda installs (`numpy==1.26.4`); `stubs` is a folder of wheels that stand for
    them while pip's packages are resolved.
    """

    lines: tuple[str, ...]
    source: str = "requirements"
    constraints: tuple[str, ...] = ()
    provided: tuple[str, ...] = ()
    stubs: Path | None = None


class _Work(NamedTuple):
    """What one resolution is about."""

    requirements: Requirements
    project: Path
    package_index: PackageIndex
    answers: Answers | None


def lock(
    requirements: Requirements,
    targets: Sequence[Target],
    *,
    project: Path,
    index: PackageIndex | None = None,
    mode: LockMode = "reuse",
    answers: Answers | None = None,
    is_kept: bool = True,
) -> Lock:
    """The lock of `requirements` for every one of `targets`, which share one Python version.

    It is `pylock.toml` in the folder `project`, reused while its inputs are the same. When they changed, only what no
    longer fits is resolved anew; `upgrade` takes the newest versions of all; `locked` raises LockOutOfDate instead of
    changing anything. Platforms that the lock was made for before are kept in it. `answers` holds what uv said before
    in this build. Unless it `is_kept`, a new lock is not written.
    Raises DependencyError in its many kinds.
    """
    index = PackageIndex.discover() if index is None else index
    path = lockfile.lock_path(project)
    old = lockfile.read(path)
    wanted = _inputs(requirements, targets, project, index, old)
    changes = ["there is none"] if old is None else old.inputs.differences(wanted)
    moved = old is not None and old.inputs.index_digest != wanted.index_digest
    if old is not None and not changes and mode != "upgrade" and (mode == "locked" or not moved):
        return old
    if mode == "locked":
        raise LockOutOfDate(
            f"the lock file {path} does not fit: {'; '.join(changes)}",
            hint="build without --locked once, and keep the lock file with the project",
        )
    new = _resolve(
        _Work(requirements, project, index, answers), targets, wanted, old, keep_pins=mode != "upgrade"
    )
    if old is not None and new.text == old.text:
        return old._replace(is_new=True)
    if not is_kept:
        return new
    if lockfile.write(new, path):
        return new._replace(path=path)
    return new._replace(note=f"the lock file {path} cannot be written; the next build resolves again")


def _inputs(
    requirements: Requirements,
    targets: Sequence[Target],
    project: Path,
    index: PackageIndex,
    old: Lock | None,
) -> Inputs:
    (python,) = {target.python_version for target in targets}
    return Inputs(
        requirements=tuple(portable(line, project) for line in requirements.lines),
        constraints=tuple(portable(line, project) for line in requirements.constraints),
        python=python,
        platforms=levels(targets, old.inputs.platforms if old else {}),
        index_digest=index.digest(),
        provided=requirements.provided,
        local=local_inputs(requirements.lines, project),
    )


def _resolve(
    work: _Work, targets: Sequence[Target], wanted: Inputs, old: Lock | None, *, keep_pins: bool
) -> Lock:
    # What is needed to resolve is not imported to find out that it is not needed.
    from fnpack.dependencies import merge

    asked = {target.platform for target in targets}
    found: dict[Target, str] = {}
    known = merge.pins(old.document) if old is not None and keep_pins else ""
    for target in (*targets, *carried_targets(old.inputs.platforms if old else {}, wanted.python, asked)):
        try:
            text, level = _for_target(work, target, known)
        except DependencyError:
            if target.platform in asked:
                raise
            continue  # nobody asked for this platform now
        found[level] = text
        known = known or text  # the same versions on all platforms, where that is possible
    found = {target: found[target] for target in sorted(found, key=lambda target: target.platform)}
    document = merge.merge(found, work.project, work.requirements.provided)
    inputs = wanted._replace(platforms={target.platform: target.level for target in found})
    return Lock(work.project, lockfile.render(document, inputs), inputs, is_new=True)


def carried_targets(locked: Mapping[str, str], python: str, asked: Collection[str]) -> list[Target]:
    """The platforms that a lock was made for and nobody asks for now. Raises DependencyError for an unknown one."""
    carried = [
        Target(platform, python, "musl")
        if level == "musl"
        else Target(platform, python, libc_version=_glibc(level))
        for platform, level in locked.items()
        if platform not in asked
    ]
    return [target.checked() for target in carried]


def _for_target(work: _Work, target: Target, known: str) -> tuple[str, Target]:
    """Resolve for the C library of every usual base image, so that a lock does for all of them.

    Only where a package has no wheel for that, and the base image's own is newer, the newer one counts.
    """
    from fnpack.dependencies import merge
    from fnpack.dependencies.resolver import resolve

    asked = work.requirements

    def attempt(one: Target) -> str:
        return resolve(
            asked.lines,
            one,
            folder=work.project,
            source=asked.source,
            index=work.package_index,
            constraints=(*asked.constraints, *asked.provided),
            known=known,
            stubs=asked.stubs,
            answers=work.answers,
        )

    usual = target._replace(libc_version=min(target.glibc, USUAL_GLIBC)) if target.libc == "glibc" else target
    if usual.level == target.level:
        return attempt(usual), usual
    try:
        text = attempt(usual)
    except UnsatisfiableRequirements:
        return attempt(target), target
    if merge.lacks_wheels(text):
        newer = attempt(target)
        if not merge.lacks_wheels(newer):
            return newer, target
    return text, usual


def _glibc(level: str) -> tuple[int, int]:
    major, _, minor = level.removeprefix("glibc ").partition(".")
    return int(major), int(minor)
