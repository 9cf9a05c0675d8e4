"""Packs the installed pip into one runnable file: a distribution's Python often has none, and an image keeps none."""

from __future__ import annotations

import zipfile
from pathlib import Path

from fnpack.app.staging import make_folder
from fnpack_triggers.errors import FnpackError

_MAIN = 'import runpy\n\nrunpy.run_module("pip", run_name="__main__", alter_sys=True)\n'
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file holds


class PipMissing(FnpackError):  # noqa: N818 - says what it is
    """pip is not installed beside fnpack."""

    code = "FN342"
    exit_code = 4


def write_pip(target: Path) -> None:
    """Write pip as a zip application, uncompressed: the same pip gives the same bytes on every machine."""
    try:
        import pip
    except ImportError:
        raise PipMissing(
            "pip, which installs the image's packages, is not installed",
            hint="install fnpack with its build tools: pip install 'fnpack[build]'",
        ) from None
    root = Path(pip.__file__).parent
    make_folder(target.parent)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _TIME), _MAIN)
        for path in sorted(root.rglob("*")):
            # Windows launchers serve no image.
            if path.is_file() and path.suffix not in {".pyc", ".exe"}:
                name = path.relative_to(root.parent).as_posix()
                archive.writestr(zipfile.ZipInfo(name, _TIME), path.read_bytes())
    target.chmod(0o644)
