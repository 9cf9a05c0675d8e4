"""A conda environment for an image, the whole way, and pip's packages beside it as SDK v1 put them there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fnpack.config.conda import package_name
from fnpack.dependencies.conda.lock import lock_conda
from fnpack.dependencies.conda.lockfile import CondaLock
from fnpack.dependencies.conda.prefix import PREFIX, CondaPrefix, install
from fnpack.dependencies.lock import Requirements
from fnpack.dependencies.target import Target
from fnpack.progress import Progress, ProgressEvent, ignore
from fnpack.spec import CondaPackages, LockMode


@dataclass(frozen=True, slots=True)
class CondaEnvironment:
    """A locked environment and, for each target, its tree. `targets` have the Python of the environment."""

    lock: CondaLock
    prefixes: dict[Target, CondaPrefix]

    @property
    def targets(self) -> tuple[Target, ...]:
        """What pip's packages are resolved for."""
        return tuple(self.prefixes)

    def beside(self, requirements: Requirements) -> Requirements:
        """pip's requirements, knowing what conda installs: such packages stay as they are and are not in the lock."""
        from fnpack.dependencies.conda.stubs import stub_folder

        if not requirements.lines:
            return requirements
        found = [stub_folder(prefix) for prefix in self.prefixes.values()]
        everywhere = set.intersection(*(set(pins) for _, pins in found))
        return requirements._replace(provided=tuple(sorted(everywhere)), stubs=found[0][0])


def conda_environment(
    conda: CondaPackages,
    targets: Sequence[Target],
    *,
    project: Path,
    prefix: str = PREFIX,
    mode: LockMode = "reuse",
    progress: Progress = ignore,
) -> CondaEnvironment:
    """Solve or reuse the lock in `project`, and lay the environment out for every target.

    Where no spec names Python, the targets' version is taken; otherwise the environment's own counts. Raises
    DependencyError in its many kinds.
    """
    specs = conda.specs
    if not any(package_name(spec) == "python" for spec in specs):
        specs = (f"python={targets[0].python_version}", *specs)
    lock = lock_conda(conda._replace(specs=specs), targets, project=project, mode=mode)
    prefixes = {}
    for target in targets:
        step = (
            f"conda environment of {len(lock.packages_for(target.platform))} packages for {target.platform}"
        )
        progress(ProgressEvent(step, "started"))
        try:
            found = install(lock, target, prefix)
        except BaseException:
            progress(ProgressEvent(step, "failed"))
            raise
        progress(ProgressEvent(step, "done" if lock.is_new else "cached"))
        prefixes[target._replace(python_version=found.python_version)] = found
    return CondaEnvironment(lock, prefixes)
