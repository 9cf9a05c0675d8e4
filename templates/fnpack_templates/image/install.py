"""Installs locked requirements while an image is built, with whatever build secrets there are.

Usage: install.py REQUIREMENTS TARGET [--python 3.11] [--slim]; TARGET `-` means this Python's own site-packages.
It stands beside `pip.pyz`, since a distribution's Python may have no pip. Standard library only.
"""

from __future__ import annotations

import argparse
import compileall
import os
import py_compile
import shutil
import struct
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
SECRETS = {"pip.conf": "PIP_CONFIG_FILE", "ca.crt": "PIP_CERT", "netrc": "NETRC"}
BUILD_ONLY = {".c", ".cpp", ".h", ".pxd", ".pxi", ".pyi", ".pyx"}  # what no running program reads


def main() -> int:
    """Install, compile, and return pip's exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("requirements", type=Path)
    parser.add_argument("target")
    parser.add_argument(
        "--python", help="refuse any other Python, since the requirements were locked for this one"
    )
    parser.add_argument("--slim", action="store_true", help="leave out sources and debug information")
    arguments = parser.parse_args()
    if not fits(arguments.python):
        return 1
    code = install(arguments.requirements, arguments.target)
    if code == 0 and arguments.target != "-":
        finish(Path(arguments.target), slim=arguments.slim)
    return code


def fits(wanted: str | None) -> bool:
    """Whether this is the Python that the requirements were locked for; says what to do where it is not."""
    found = f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted in (None, found):
        return True
    print(
        f"The base image has Python {found}, but the dependencies were locked for Python {wanted}: "
        f"build with --python-version {found}, or with a base image that has Python {wanted}.",
        file=sys.stderr,
    )
    return False


def install(requirements: Path, target: str) -> int:
    """Run pip; the packages land in the folder `target`, or where this Python keeps its own for `-`."""
    command = [
        sys.executable, "-B", str(TOOLS / "pip.pyz"), "install", "--no-cache-dir", "--no-deps", "--require-hashes",
        "--disable-pip-version-check", "--no-warn-script-location", "--root-user-action=ignore", "--progress-bar=off",
        "--requirement", str(requirements),
    ]  # fmt: skip
    if target != "-":
        command += ["--target", target, "--no-compile"]
    wheels = TOOLS.parent / "wheels"
    if wheels.is_dir():
        command += ["--find-links", str(wheels)]
    return subprocess.run(command, env=environment(), check=False).returncode


def environment() -> dict[str, str]:
    """This environment plus pip's settings from the build secrets that were given."""
    values = dict(os.environ, PIP_BREAK_SYSTEM_PACKAGES="1")  # an image has no other user of its Python
    secrets = Path(os.environ.get("FNPACK_SECRETS", "/run/secrets"))
    for name, variable in SECRETS.items():
        if (secrets / name).is_file():
            values[variable] = str(secrets / name)
    return values


def finish(target: Path, *, slim: bool) -> None:
    """Compile every module, for fast starts from a read-only file system; drop what is not needed with `slim`.

    Compiled files carry the source's hash, not its time, so that the same packages give the same bytes.
    """
    if slim:
        shutil.rmtree(target / "bin", ignore_errors=True)
        for path in sorted(target.rglob("*")):
            if path.suffix in BUILD_ONLY:
                path.unlink()
            elif path.suffix == ".so" or ".so." in path.name:
                drop_debug_information(path)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(target, quiet=2, workers=0, invalidation_mode=mode)


def drop_debug_information(library: Path) -> None:
    """Cut a 64-bit ELF library behind the last byte that is ever loaded: debug sections and section names follow it.

    The loader reads program headers alone (ELF specification, chapter 5); section headers are for linkers and
    debuggers. A file of another kind stays as it is.
    """
    with library.open("r+b") as file:
        header = file.read(64)
        if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
            return
        (table,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        file.seek(table)
        programs = file.read(size * count)
        end = table + size * count
        for index in range(count):
            offset, _, _, in_file = struct.unpack_from("<4Q", programs, index * size + 8)
            end = max(end, offset + in_file)
        file.truncate(end)
        file.seek(40)
        file.write(bytes(8))  # no section headers
        file.seek(58)
        file.write(bytes(6))


if __name__ == "__main__":
    sys.exit(main())
