"""Libraries that a package takes from this machine and that the image would lack."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from fnpack.check.libraries import has_library, lacking
from fnpack.oci.elf import needed_libraries

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared libraries of Linux")


def extension() -> Path:
    """An extension module of this Python that needs a library of the system besides the C library."""
    folder = Path(sysconfig.get_config_var("DESTSHARED"))
    for path in sorted(folder.glob("*.so")):
        if any(
            not name.startswith(("libc.", "libm.", "libpthread", "libpython"))
            for name in needed_libraries(path)
        ):
            return path
    pytest.skip("this Python has no extension module that needs a library")


def test_needed_libraries_are_read_from_the_file() -> None:
    names = needed_libraries(extension())
    assert names
    assert all(".so" in name for name in names)
    assert needed_libraries(Path(__file__)) == ()
    assert needed_libraries(Path("/nonexistent")) == ()


@pytest.mark.parametrize("size", [0, 10, 64, 100, 1000])
def test_cut_library_needs_nothing(tmp_path: Path, size: int) -> None:
    (tmp_path / "cut.so").write_bytes(extension().read_bytes()[:size])
    assert isinstance(needed_libraries(tmp_path / "cut.so"), tuple)


def test_library_of_this_machine_that_the_base_lacks_is_told(tmp_path: Path) -> None:
    module = tmp_path / "package" / "fast.so"
    module.parent.mkdir()
    shutil.copyfile(extension(), module)
    library = next(
        name for name in needed_libraries(module) if not name.startswith(("libc.", "libm.", "libpthread"))
    )
    mapped = [str(module), f"/usr/lib/{library}.0.1", "/usr/lib/libc.so.6"]
    assert list(lacking(mapped, tmp_path, ["libz.so.9"])) == [(library, "package/fast.so")]
    assert not list(lacking(mapped, tmp_path, [library]))
    assert not list(lacking(mapped, tmp_path, [f"{library}.0.2"])), "another release of it"
    assert not list(lacking(mapped, tmp_path, [])), "nothing is known of the base"
    bundled = tmp_path / "package.libs" / library
    assert not list(lacking([*mapped, str(bundled)], tmp_path, ["libz.so.9"])), "the package brings its own"


def test_names_of_libraries_are_compared_by_their_main_version() -> None:
    assert has_library(["libgomp.so.1.0.0"], "libgomp.so.1")
    assert not has_library(["libgomp.so.10"], "libgomp.so.1")
