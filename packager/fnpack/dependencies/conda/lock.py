"""Decides whether the conda lock still holds, and solves where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fnpack.dependencies.conda import lockfile
from fnpack.dependencies.conda.channels import channel_names
from fnpack.dependencies.conda.errors import UnsatisfiableConda
from fnpack.dependencies.conda.lockfile import CondaInputs, CondaLock, CondaPackage
from fnpack.dependencies.errors import DependencyError, LockOutOfDate
from fnpack.dependencies.lock import carried_targets
from fnpack.dependencies.lockfile import levels
from fnpack.dependencies.target import USUAL_GLIBC, Target
from fnpack.spec import CondaPackages, LockMode


def lock_conda(
    conda: CondaPackages, targets: Sequence[Target], *, project: Path, mode: LockMode = "reuse"
) -> CondaLock:
    """The lock of a conda environment for every one of `targets`, kept as `condalock.toml` in `project`.

    Reused, renewed and refused as the lock of pip's packages is. Raises UnsatisfiableConda, ChannelUnreachable,
    LockOutOfDate, LockFileError, CondaToolsMissing.
    """
    path = project / lockfile.NAME
    old = lockfile.read(path)
    wanted = CondaInputs(
        conda.specs,
        tuple(_portable(name, project) for name in channel_names(conda.channels)),
        levels(targets, old.inputs.platforms if old else {}),
    )
    changes = ["there is none"] if old is None else old.inputs.differences(wanted)
    if old is not None and not changes and mode != "upgrade":
        return old
    if mode == "locked":
        raise LockOutOfDate(
            f"the lock file {path} does not fit: {'; '.join(changes)}",
            hint="build without --locked once, and keep the lock file with the project",
        )
    new = _solve(conda, targets, wanted, old if mode == "reuse" else None)
    if lockfile.write(new, path):
        return replace(new, path=path)
    return replace(new, note=f"the lock file {path} cannot be written; the next build solves again")


def _solve(
    conda: CondaPackages, targets: Sequence[Target], wanted: CondaInputs, old: CondaLock | None
) -> CondaLock:
    asked = {target.platform for target in targets}
    python = targets[0].python_version
    found: dict[Target, list[CondaPackage]] = {}
    for target in (*targets, *carried_targets(old.inputs.platforms if old else {}, python, asked)):
        kept = old.packages_for(target.platform) if old is not None else ()
        try:
            packages, used = _for_target(conda, target, kept)
        except DependencyError:
            if target.platform in asked:
                raise
            continue
        found[used] = packages
    ordered = sorted(found, key=lambda target: target.platform)
    inputs = replace(wanted, platforms={target.platform: target.level for target in ordered})
    return CondaLock(inputs, tuple(one for target in ordered for one in found[target]), is_new=True)


def _for_target(
    conda: CondaPackages, target: Target, kept: Sequence[CondaPackage]
) -> tuple[list[CondaPackage], Target]:
    """Solve for the C library of every usual base image; for the base's own where that is not enough."""
    from fnpack.dependencies.conda.solver import solve

    usual = target._replace(libc_version=min(target.glibc, USUAL_GLIBC))
    try:
        return solve(conda, usual, kept), usual
    except UnsatisfiableConda:
        if usual.level == target.level:
            raise
    return solve(conda, target, kept), target


def _portable(channel: str, project: Path) -> str:
    """A channel in a folder of the project, relative to it."""
    if channel.startswith(f"{project}/"):
        return f".{channel.removeprefix(str(project))}"
    return channel
