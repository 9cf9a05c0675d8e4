"""The lock file of a conda environment, `condalock.toml`: every package of every platform with address and hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from fnpack.dependencies import toml
from fnpack.dependencies.cache import writing
from fnpack.dependencies.errors import CacheUnusable, LockFileError
from fnpack.dependencies.lockfile import differences, platform_differences

NAME = "condalock.toml"
_SCHEMA = 1
_HEADER = (
    "# Locked by fnpack. Keep this file with the project; `fnpack build --upgrade` takes new versions.\n"
)


@dataclass(frozen=True, slots=True)
class CondaPackage:
    """One package of one platform (`linux/amd64`). `url` has no login; hashes are hex digits."""

    platform: str
    name: str
    version: str
    build: str
    subdir: str
    url: str
    channel: str
    build_number: int = 0
    sha256: str = ""
    md5: str = ""
    size: int = 0
    noarch: str = ""  # "python", "generic" or ""
    site_packages: str = ""  # where a python package keeps its modules, if it says
    license: str = ""
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CondaInputs:
    """What the lock was made for. `platforms` maps `linux/amd64` to the level of its C library."""

    specs: tuple[str, ...]
    channels: tuple[str, ...]
    platforms: Mapping[str, str]

    def differences(self, wanted: CondaInputs) -> list[str]:
        """What is wanted and not locked, or the other way round, one line each."""
        found = differences("conda package", self.specs, wanted.specs)
        if self.channels != wanted.channels:
            found.append(f"its channels are {', '.join(self.channels)}, not {', '.join(wanted.channels)}")
        return found + platform_differences(self.platforms, wanted.platforms)


@dataclass(frozen=True, slots=True)
class CondaLock:
    """A lock, in memory; `is_new` says that it was solved just now, `note` what a person should know."""

    inputs: CondaInputs
    packages: tuple[CondaPackage, ...] = field(repr=False)
    path: Path | None = None
    is_new: bool = False
    note: str = ""

    def packages_for(self, platform: str) -> tuple[CondaPackage, ...]:
        """The packages of one platform, by name."""
        return tuple(package for package in self.packages if package.platform == platform)

    def digest(self, platform: str) -> str:
        """A hash of all that is installed on one platform, wherever it comes from."""
        facts = [
            f"{one.name} {one.version} {one.build} {one.subdir} {one.sha256 or one.md5 or one.url}"
            for one in self.packages_for(platform)
        ]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()

    def render(self) -> str:
        """The text of the lock file."""
        inputs = toml.table("inputs", {"version": _SCHEMA, **asdict(self.inputs)})
        plain = [{key: value for key, value in asdict(one).items() if value} for one in self.packages]
        return "\n".join([_HEADER, inputs, *(toml.array_entry("packages", one) for one in plain)])


def read(path: Path) -> CondaLock | None:
    """The lock in a file; None where there is none. Raises LockFileError."""
    try:
        data = toml.loads(path.read_text("utf-8"))
        return _parsed(data, path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LockFileError(
            f"{path} cannot be read: {str(error).splitlines()[0]}",
            hint="take back what changed it, or remove it: the next build makes a new one",
        ) from error


def write(lock: CondaLock, path: Path) -> bool:
    """Keep the lock; False where the folder cannot be written."""
    try:
        with writing(path) as file:
            file.write(lock.render().encode())
    except CacheUnusable:
        return False
    return True


def _parsed(data: Mapping[str, object], path: Path) -> CondaLock:
    inputs, entries = data["inputs"], data.get("packages", [])
    if not isinstance(inputs, dict) or not isinstance(entries, Sequence):
        raise TypeError("it is not a lock of fnpack's")
    if inputs["version"] != _SCHEMA:
        raise ValueError("another version of fnpack wrote it")
    packages = [_package(entry) for entry in entries]
    found = CondaInputs(tuple(inputs["specs"]), tuple(inputs["channels"]), dict(inputs["platforms"]))
    return CondaLock(found, tuple(packages), path)


def _package(entry: Mapping[str, object]) -> CondaPackage:
    values = {f.name: entry[f.name] for f in fields(CondaPackage) if f.name in entry}
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return CondaPackage(**plain)  # type: ignore[arg-type]
