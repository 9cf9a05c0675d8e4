"""Lays a locked conda environment out as a tree that is ready to become layers: the same lock gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import platform as machine
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fnpack.cache_folder import cache_folder
from fnpack.cache_pruning import used
from fnpack.dependencies.cache import scratch, unusable
from fnpack.dependencies.conda.errors import CondaInstallFailed, CondaNotPossible
from fnpack.dependencies.conda.lockfile import CondaLock, CondaPackage
from fnpack.dependencies.conda.rattler import clean, rattler, run
from fnpack.dependencies.target import MACHINES, Target

PREFIX = "/opt/conda-env"
_SCHEMA = "1"
_FACTS = "fnpack.json"


@dataclass(frozen=True, slots=True)
class CondaPrefix:
    """An environment as files on this machine: the contents of `path` go to the folder `prefix` of the image.

    `python_version` is "3.11" style. `packages` are conda's, `provided` the Python projects among them as pip knows
    them (`numpy==1.26.4`). The same `digest` means the same tree. Times of files mean nothing.
    """

    path: Path
    prefix: str
    python_version: str
    packages: tuple[CondaPackage, ...] = field(repr=False)
    provided: tuple[str, ...]
    digest: str

    @property
    def python(self) -> str:
        """The interpreter, in the image."""
        return f"{self.prefix}/bin/python"

    @property
    def site_packages(self) -> str:
        """Where pip's packages go, in the image."""
        return f"{self.prefix}/lib/python{self.python_version}/site-packages"


def install(lock: CondaLock, target: Target, prefix: str = PREFIX) -> CondaPrefix:
    """Fetch and lay out what is locked for `target`; cached by its contents.

    No script of a package is run. Modules are compiled by the environment's own Python where this machine can run
    it, which is part of `digest`. Raises CondaInstallFailed, CondaNotPossible, CacheUnusable, CondaToolsMissing.
    """
    packages = lock.packages_for(target.platform)
    version = _python_version(packages)
    runs_here = sys.platform == "linux" and machine.machine() == MACHINES[target.platform]
    facts = [_SCHEMA, lock.digest(target.platform), target.platform, prefix, str(runs_here)]
    digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()
    home = cache_folder() / "conda" / digest
    used(home / _FACTS)
    if not (home / _FACTS).is_file():
        _make(home, packages, target, prefix, version, compile_modules=runs_here)
    provided = json.loads((home / _FACTS).read_bytes())["provided"]
    return CondaPrefix(home / "tree", prefix, version, packages, tuple(provided), digest)


def _make(
    home: Path,
    packages: tuple[CondaPackage, ...],
    target: Target,
    prefix: str,
    version: str,
    *,
    compile_modules: bool,
) -> None:
    from fnpack.dependencies.conda.normalise import normalise, provided_by

    with scratch() as folder:
        tree = folder / "tree"
        _lay_out(packages, target, tree, prefix)
        python = tree / "bin" / f"python{version}" if compile_modules else None
        normalise(tree, prefix, version, python)
        facts = {"provided": provided_by(tree, version)}
        (folder / _FACTS).write_text(json.dumps(facts), "utf-8")
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(home, ignore_errors=True)  # a rest without facts
            with suppress(FileExistsError):  # another build was quicker: the same tree
                folder.rename(home)
        except OSError as error:
            if not (home / _FACTS).is_file():
                raise unusable(home, error) from error


def _lay_out(packages: tuple[CondaPackage, ...], target: Target, tree: Path, prefix: str) -> None:
    from fnpack.dependencies.conda.solver import SUBDIRS, client, record

    module = rattler()
    from rattler import exceptions

    failures = (
        exceptions.InstallerError,
        exceptions.LinkError,
        exceptions.IoError,
        exceptions.TransactionError,
    )
    try:
        run(
            module.install(
                [record(one) for one in packages],
                target_prefix=tree,
                platform=module.Subdir(SUBDIRS[target.platform]),
                execute_link_scripts=False,
                show_progress=False,
                client=client(),
                alternative_target_prefix=prefix,
            )
        )
    except (*failures, OSError) as error:
        raise CondaInstallFailed(
            f"the conda environment cannot be laid out: {clean(error)}",
            hint="check the network and the space on disk; with --upgrade the lock gets what the channels have now",
        ) from error


def _python_version(packages: tuple[CondaPackage, ...]) -> str:
    for package in packages:
        if package.name == "python":
            return ".".join(package.version.split(".")[:2])
    raise CondaNotPossible(
        "the conda environment holds no Python, which runs the script",
        hint="add `python=3.11` to its dependencies",
    )
