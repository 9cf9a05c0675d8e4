"""The wheel holds the four packages and nothing else, and its base installation is small and works."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from setup import UV, uv_environment

PACKAGES = {
    "fnpack": "packager",
    "fnpack_host": "function_host",
    "fnpack_triggers": "triggers",
    "fnpack_templates": "templates",
}


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (built,) = target.glob("*.whl")
    return built


def test_wheel_holds_exactly_the_four_packages(wheel: Path, root: Path, tracked: list[Path]) -> None:
    expected = {
        path.relative_to(PACKAGES[package]).as_posix()
        for path in tracked
        for package in PACKAGES
        if path.is_relative_to(Path(PACKAGES[package]) / package)
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    untracked = {name for name in held - expected if (root / PACKAGES[name.split("/")[0]] / name).is_file()}
    assert held - untracked == expected
    assert {name.split("/")[0] for name in held} == set(PACKAGES)


def test_wheel_carries_types_templates_and_licence(wheel: Path) -> None:
    held = zipfile.ZipFile(wheel).namelist()
    assert all(f"{package}/py.typed" in held for package in PACKAGES)
    assert any(name.startswith("fnpack_templates/image/Dockerfile") for name in held)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in held)


def test_base_installation_needs_only_the_command_line(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".dist-info/METADATA")]
        metadata = message_from_string(archive.read(name).decode())
    base = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert [line.split(">=")[0] for line in base] == ["click", "tomli"]


def test_base_installation_starts(wheel: Path, root: Path, tmp_path: Path) -> None:
    env, python = uv_environment(), tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], env=env, check=True
    )
    install = [
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--constraint",
        root / "requirements" / "dev.txt",
    ]
    subprocess.run([str(word) for word in (*install, wheel)], env=env, check=True)
    command = python.with_name("fnpack")
    version = subprocess.run(
        [command, "--version"], check=True, text=True, capture_output=True, cwd=tmp_path
    ).stdout
    assert version.startswith("fnpack 0.")
    usage = subprocess.run(
        [command, "--help"], check=True, text=True, capture_output=True, cwd=tmp_path
    ).stdout
    assert "fnpack build" in usage
    listed = subprocess.run(
        [UV, "pip", "list", "--python", python], env=env, check=True, text=True, capture_output=True
    )
    installed = {line.split()[0] for line in listed.stdout.splitlines()[2:]}
    assert installed <= {"click", "fnpack", "tomli"}
