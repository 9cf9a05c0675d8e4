"""What a check runs in: the app directory as in the image, with its models linked, and its packages unpacked.

Packages are unpacked once for each set of wheels, into the cache: a folder is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from fnpack.cache_folder import cache_folder
from fnpack.dependencies.wheels import WheelFile
from fnpack.full_disk import disk_full, is_full, says_full, told_full_disk
from fnpack.oci import function_app

_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".python_packages", "local.settings.json")
_UV_TIMEOUT_S = 900
_SAME_SET_S = 24 * 3600  # how often the time of a set's last use is written
_KEEP_S = 30 * 24 * 3600


class NotUnpacked(Exception):  # noqa: N818 - says what happened
    """The wheels cannot be laid out for a Python of this machine; the text says why."""


def checks_folder() -> Path:
    """Where checks keep what they can make again."""
    return cache_folder() / "checks"


@contextmanager
def app_tree(
    app: Path, models: Mapping[str, Mapping[str, Path]], beside: Path, *, is_closed: bool = True
) -> Iterator[Path]:
    """The app directory as the image has it; `models` are files here by model and path in the image.

    With `is_closed` folders cannot be written to, as the image's user cannot write to them. Gone afterwards.
    Raises DiskFull.
    """
    with tempfile.TemporaryDirectory(prefix="check-", dir=beside, ignore_cleanup_errors=True) as folder:
        tree = Path(folder, "app")
        with told_full_disk(beside):
            shutil.copytree(app, tree, ignore=_LEFT_OUT)
        for files in models.values():
            for path, source in files.items():
                place = tree / path.removeprefix(f"{function_app.ROOT}/")
                place.parent.mkdir(parents=True, exist_ok=True)
                _link(source, place)
        if is_closed:
            _close(tree)
        try:
            yield tree
        finally:
            _close(tree, 0o755)


def _link(source: Path, place: Path) -> None:
    try:
        os.link(source.resolve(), place)
    except OSError:  # another file system, or one without links
        place.symlink_to(source.resolve())


def _close(tree: Path, mode: int = 0o555) -> None:
    for folder, _, _ in os.walk(tree, topdown=mode != 0o555):
        with contextlib.suppress(OSError):
            os.chmod(folder, mode)  # noqa: PTH101 - as os.walk gives it


def packages_key(wheels: Sequence[WheelFile], python: str) -> str:
    """Stands for a set of wheels on one interpreter, which keeps its compiled modules beside them."""
    facts = [str(Path(python).resolve()), *sorted(one.sha256 for one in wheels)]
    return hashlib.sha256(" ".join(facts).encode()).hexdigest()


def package_tree(wheels: Sequence[WheelFile], python: str) -> Path | None:
    """A folder with exactly these wheels installed, for `python`; None where there are none.

    Raises NotUnpacked, DiskFull.
    """
    if not wheels:
        return None
    place = checks_folder() / "packages" / packages_key(wheels, python)
    if place.is_dir():
        _touch(place)
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    except OSError as error:
        if is_full(error):
            raise disk_full(place.parent) from error
        raise NotUnpacked(f"{place.parent} cannot be written: {error.strerror}") from error
    try:
        _unpack(wheels, python, work)
        with contextlib.suppress(OSError):  # another build was quicker
            work.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return place


def _unpack(wheels: Sequence[WheelFile], python: str, target: Path) -> None:
    """uv unpacks each wheel once into its own cache, and links the files from there."""
    import subprocess

    import uv

    command = [
        uv.find_uv_bin(), "pip", "install", "--target", str(target), "--python", python,
        "--no-deps", "--offline", "--no-index", "--no-config", "--no-progress", "--color=never", "--quiet",
        *(str(one.path) for one in wheels),
    ]  # fmt: skip
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    environment = {**kept, "UV_CACHE_DIR": str(checks_folder() / "uv")}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_UV_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotUnpacked(f"uv cannot unpack the packages: {error}") from error
    if done.returncode:
        if says_full(done.stderr):
            raise disk_full(target.parent)
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise NotUnpacked(f"its packages do not fit this machine: {said[:400]}")


def prune(folder: Path | None = None, *, keep_s: float = _KEEP_S) -> int:
    """Remove what no check has used for so long; returns how many entries that were."""
    root, removed = folder or checks_folder(), 0
    before = time.time() - keep_s
    for path in (*root.glob("packages/*"), *root.glob("passed/*"), root / "uv"):
        try:
            if path.stat().st_mtime >= before:
                continue
            attic = path.with_name(f".old-{path.name.removeprefix('.old-')}")
            path.rename(attic)  # at once for whoever looks for it now
        except OSError:
            continue
        shutil.rmtree(attic, ignore_errors=True) if attic.is_dir() else attic.unlink(missing_ok=True)
        removed += 1
    return removed


def _touch(place: Path) -> None:
    """What was used last is thrown away last; not written at each use."""
    with contextlib.suppress(OSError):
        if time.time() - place.stat().st_mtime > _SAME_SET_S:
            os.utime(place)
