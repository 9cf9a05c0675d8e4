"""Wheels that stand for conda's packages while pip's are resolved: they have a name and a version, and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path

from fnpack.atomic_file import replacing
from fnpack.cache_folder import cache_folder
from fnpack.dependencies.cache import unusable
from fnpack.dependencies.conda.prefix import CondaPrefix


def stub_folder(prefix: CondaPrefix) -> tuple[Path, tuple[str, ...]]:
    """A folder with a wheel for each project of the prefix, and their pins.

    What they depend on is conda's business and solved, so they declare nothing.
    """
    from packaging.version import InvalidVersion, Version

    folder = cache_folder() / "conda" / prefix.digest / "stubs"
    pins = []
    for pin in prefix.provided:
        name, _, text = pin.partition("==")
        try:
            version = Version(text)
        except InvalidVersion:
            continue  # no wheel can have it, so pip's packages cannot ask for it
        _write(folder, name, str(version))
        pins.append(f"{name}=={version}")
    return folder, tuple(pins)


def _write(folder: Path, name: str, version: str) -> None:
    escaped = name.replace("-", "_")
    path = folder / f"{escaped}-{version}-py3-none-any.whl"
    if path.is_file():
        return
    info = f"{escaped}-{version}.dist-info"
    try:
        with replacing(path, 0o666) as file, zipfile.ZipFile(file, "w") as wheel:
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    except OSError as error:
        raise unusable(path, error) from error
