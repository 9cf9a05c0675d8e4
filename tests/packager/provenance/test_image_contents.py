"""What an SBOM is made from: the parts of a build, and nothing of the machine that builds."""

from __future__ import annotations

from pathlib import Path

from fnpack.app.directory import FunctionApp
from fnpack.daemonless.base import Base
from fnpack.daemonless.parts import Parts
from fnpack.daemonless.sboms import contents_of
from fnpack.dependencies.conda.lockfile import CondaPackage
from fnpack.dependencies.conda.prefix import CondaPrefix
from fnpack.dependencies.target import Target
from fnpack.dependencies.wheels import WheelFile
from fnpack.oci.base_python import base_python
from fnpack.oci.bases import LayoutBase
from fnpack.oci.function_app import HOST_FOLDER, SITE_PACKAGES
from fnpack.oci.tree_layers import FilesRecipe
from fnpack.oci.wheel_layers import WheelRecipe
from fnpack.provenance.contents import Package
from image_parts import write_python_base


def parts(tmp_path: Path) -> Parts:
    reference = write_python_base(tmp_path / "secret-place" / "base")
    source = LayoutBase(tmp_path / "secret-place" / "base")
    base = Base(source, base_python(source, tmp_path), reference, source.digest)
    app = FunctionApp(tmp_path / "app", "src/score.py", (), ())
    return Parts(base, Target("linux/amd64", "3.11"), app, {})


def wheel(name: str, digit: str) -> WheelFile:
    return WheelFile(name, "1.0", Path("nowhere"), digit * 64, f"{name}-1.0-py3-none-any.whl")


def test_packages_are_those_of_the_layers_by_the_part_of_the_image(tmp_path: Path) -> None:
    made = parts(tmp_path)
    made.recipes += [
        FilesRecipe({}, "fnpack's function host"),
        WheelRecipe((wheel("uvicorn", "1"),), HOST_FOLDER, "3.11"),
        WheelRecipe((wheel("numpy", "2"), wheel("joblib", "3")), SITE_PACKAGES, "3.11"),
    ]
    assert contents_of(made).packages == (
        Package("pypi", "app", "joblib", "1.0", "3" * 64),
        Package("pypi", "app", "numpy", "1.0", "2" * 64),
        Package("pypi", "host", "uvicorn", "1.0", "1" * 64),
    )


def test_conda_packages_name_their_channel_without_its_address(tmp_path: Path) -> None:
    made, address = parts(tmp_path), "https://conda.example.com/t/token/private"
    package = CondaPackage(
        "linux/amd64", "openblas", "0.3", "h1", "linux-64", f"{address}/linux-64/openblas.conda", address,
        sha256="4" * 64,
    )  # fmt: skip
    made.prefix = CondaPrefix(tmp_path, "/opt/conda-env", "3.11", (package,), (), "d")
    (found,) = contents_of(made).packages
    assert found == Package(
        "conda", "app", "openblas", "0.3", "4" * 64,
        (("build", "h1"), ("channel", "private"), ("subdir", "linux-64"), ("type", "conda")),
    )  # fmt: skip
    assert "example.com" not in repr(contents_of(made))


def test_base_image_is_named_without_the_way_to_it_and_by_its_manifests_digest(tmp_path: Path) -> None:
    found = contents_of(parts(tmp_path))
    assert (found.base_name, found.base_repository, found.title) == ("oci-layout:base", "", "score")
    manifest = tmp_path / "secret-place" / "base" / "blobs" / found.base_digest.replace(":", "/")
    assert b'"layers"' in manifest.read_bytes()
    assert "secret-place" not in repr(found)
