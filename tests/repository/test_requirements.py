"""Locks hold for every supported Python, carry hashes, name no index, and cover what pyproject.toml asks for."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MINORS = [10, 11, 12, 13]


def locked(path: Path) -> list[tuple[Requirement, int]]:
    """Each requirement of a lock with how many hashes it has."""
    logical = path.read_text().replace("\\\n", " ")
    lines = [
        line.strip() for line in logical.splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    return [(Requirement(line.split(" --hash=")[0]), line.count("--hash=sha256:")) for line in lines]


@pytest.fixture(scope="module")
def locks(root: Path) -> list[Path]:
    return sorted(
        [*root.glob("requirements/*.txt"), *root.glob("templates/fnpack_templates/image/host-*.txt")]
    )


def test_every_locked_requirement_is_exact_and_has_hashes(locks: list[Path]) -> None:
    for lock in locks:
        for requirement, hashes in locked(lock):
            assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), f"{lock.name}: {requirement}"
            assert hashes, f"{lock.name}: {requirement}"


def test_no_lock_names_an_index(locks: list[Path]) -> None:
    for lock in locks:
        assert not re.search(
            r"^\s*(-i|-f|--\w*index\w*|--find-links|--trusted-host)|://", lock.read_text(), re.M
        )


def test_every_input_has_its_lock_and_comments_why(root: Path) -> None:
    for source in root.glob("requirements/*.in"):
        assert source.read_text().startswith("# "), source.name


@pytest.mark.parametrize("minor", MINORS)
def test_locks_satisfy_pyproject_on_every_python(root: Path, minor: int) -> None:
    environment: dict[str, str] = {
        "python_version": f"3.{minor}",
        "python_full_version": f"3.{minor}.0",
        "extra": "",
    }

    def applies(requirement: Requirement) -> bool:
        return requirement.marker is None or requirement.marker.evaluate(environment)

    pins: dict[str, str] = {}
    locks = (root / "requirements" / name for name in ("dev.txt", "node.txt"))
    for requirement, _ in (one for lock in locks for one in locked(lock)):
        if applies(requirement):
            name = canonical(requirement.name)
            assert name not in pins, f"two pins of {name} on Python 3.{minor}"
            pins[name] = next(iter(requirement.specifier)).version
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    for requirement in map(Requirement, wanted):
        if applies(requirement) and requirement.name != project["name"]:
            version = pins.get(canonical(requirement.name))
            assert version, f"{requirement} is not locked; run `make lock`"
            assert requirement.specifier.contains(version), (
                f"{requirement} is locked at {version}; run `make lock`"
            )


def test_images_hold_the_versions_that_the_tests_run_with(root: Path) -> None:
    def pins(path: Path) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for requirement, _ in locked(path):
            found.setdefault(canonical(requirement.name), set()).add(str(requirement.specifier))
        return found

    development = pins(root / "requirements" / "dev.txt")
    for lock in (root / "templates" / "fnpack_templates" / "image").glob("host-*.txt"):
        for name, versions in pins(lock).items():
            assert versions <= development[name], f"{lock.name}: {name}; run `make lock`"


def test_images_go_without_what_only_client_side_encryption_needs(root: Path) -> None:
    lock = root / "templates" / "fnpack_templates" / "image" / "host-storage.txt"
    names = {canonical(requirement.name) for requirement, _ in locked(lock)}
    assert {"azure-core", "azure-storage-blob", "azure-storage-queue"} <= names
    assert not names & {"cryptography", "cffi", "pycparser"}, (
        "scripts/lock.py leaves them out; run `make lock`"
    )


def test_images_that_sign_in_with_an_identity_hold_what_that_needs(root: Path) -> None:
    folder = root / "templates" / "fnpack_templates" / "image"
    storage, identity = (
        {canonical(requirement.name): str(requirement.specifier) for requirement, _ in locked(folder / name)}
        for name in ("host-storage.txt", "host-identity.txt")
    )
    assert storage.items() <= identity.items()
    assert {"azure-identity", "msal", "cryptography", "cffi"} <= identity.keys()


def test_example_pins_what_the_model_is_trained_with(root: Path) -> None:
    example = root / "examples" / "diabetes"
    pins = [line for line in (example / "requirements.txt").read_text().splitlines() if line]
    development = {str(requirement) for requirement, _ in locked(root / "requirements" / "dev.txt")}
    assert set(pins) <= development
    dependencies = json.loads((example / "inferenceconfig.json").read_text())["environment"]["python"]
    assert dependencies["condaDependencies"]["dependencies"] == [{"pip": pins}]


def test_azurite_lock_pins_one_version_and_names_no_registry(root: Path) -> None:
    folder = root / "packager" / "fnpack" / "dev" / "azurite_package"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]["azurite"]
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert packages["node_modules/azurite"]["version"] == wanted
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
