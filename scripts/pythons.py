"""Runs the tests that need no service under each supported Python on this machine, in an environment of its own.

`--ends` is the quick form within `make test`: only the oldest and the newest, and not the one of `.venv`, which gets
all tests there. The Pythons are those on the PATH and those of pyenv.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from setup import REQUIREMENTS, ROOT, SUPPORTED, TOOLS, UV, digest, uv_environment

# for --ends: what depends on the Python, with fewer random examples, without what mostly waits or is others' work
SLOW = (
    "repository",
    "cli",
    "services",
    "main_job",
    "chaos",
    "triggers/service_bus",
    "packager/devbus",
    "packager/messages",
    "packager/no_code",
)
QUICK = [*(f"--ignore=tests/{folder}" for folder in SLOW), "--hypothesis-profile=quick"]
MINORS = range(SUPPORTED[0][1], SUPPORTED[1][1] + 1)
WITHOUT_SERVICES = "not azurite and not registry and not docker and not browser"


def main() -> int:
    """Test under each Python, say which were left out, and fail if one failed."""
    arguments = sys.argv[1:]
    found = {f"3.{minor}": python for minor in MINORS if (python := find(minor))}
    chosen = list(found)
    if "--ends" in arguments:
        arguments = [*QUICK, *(word for word in arguments if word != "--ends")]
        own = "{}.{}".format(*sys.version_info)
        chosen = [version for version in chosen if version in (chosen[0], chosen[-1]) and version != own]
    failed = [version for version in chosen if not passes(version, found[version], arguments)]
    absent = [f"3.{minor}" for minor in MINORS if f"3.{minor}" not in found]
    if absent:
        print(f"not on this machine: Python {', '.join(absent)}")
    return 1 if failed else 0


def passes(version: str, python: Path, arguments: list[str]) -> bool:
    """Test under one Python and print the outcome with its time."""
    started = time.monotonic()
    passed = test(environment(version, python), arguments) == 0
    print(
        f"Python {version}: {'passed' if passed else 'FAILED'} in {time.monotonic() - started:.0f} s",
        flush=True,
    )
    return passed


def find(minor: int) -> Path | None:
    """A working Python 3.`minor`; a version manager's shim on the PATH may not be one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        shutil.which(f"python3.{minor}"),
        *sorted(pyenv.glob(f"3.{minor}.*/bin/python3"), reverse=True),
    ]
    for candidate in candidates:
        if candidate is None:
            continue
        script = "import sys; print(sys.version_info[:2])"
        done = subprocess.run([candidate, "-c", script], check=False, text=True, capture_output=True)
        if done.stdout.strip() == f"(3, {minor})":
            return Path(candidate)
    return None


def environment(version: str, python: Path) -> Path:
    """The interpreter of an environment with the locked packages and this checkout, made where it is out of date."""
    venv = TOOLS / "pythons" / version
    inside, stamp = venv / "bin" / "python", venv / "made-from"
    wanted = digest(REQUIREMENTS / "dev.txt", ROOT / "pyproject.toml")
    if inside.exists() and stamp.is_file() and stamp.read_text() == wanted:
        return inside
    env, lock = uv_environment(), REQUIREMENTS / "dev.txt"
    run = [str(UV), "pip"]
    options = ["--quiet", "--python", str(inside)]
    project = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    subprocess.run(
        [str(UV), "venv", "--quiet", "--clear", "--python", str(python), str(venv)], env=env, check=True
    )
    subprocess.run([*run, "sync", *options, "--require-hashes", str(lock)], env=env, check=True)
    subprocess.run([*run, "install", *options, *project], env=env, check=True)
    stamp.write_text(wanted)
    return inside


def test(python: Path, arguments: list[str]) -> int:
    """Run the tests that need no service and return pytest's exit code."""
    command = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "-n",
        "3",
        "--dist",
        "worksteal",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run([*command, "-m", WITHOUT_SERVICES, *arguments], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
