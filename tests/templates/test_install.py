"""The installer that goes into build contexts: run as a file, as an image build runs it."""

from __future__ import annotations

import ctypes.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import fnpack_templates
from fnpack.image.installer import write_pip
from fnpack_templates.image import install


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    write_pip(folder / "pip.pyz")
    shutil.copy(Path(str(fnpack_templates.__file__)).parent / "image" / "install.py", folder)
    return folder


def run(tools: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(tools / "install.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_another_python_is_refused_with_what_to_do(tools: Path, tmp_path: Path) -> None:
    done = run(tools, "requirements.txt", str(tmp_path / "out"), "--python", "3.1")
    assert done.returncode == 1
    assert "locked for Python 3.1" in done.stderr
    assert "--python-version" in done.stderr


def test_locked_package_is_installed_and_compiled(tools: Path, tmp_path: Path) -> None:
    from fnpack.dependencies.lock import Requirements
    from fnpack.dependencies.provide import resolve
    from fnpack.dependencies.target import Target

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = resolve(Requirements(("iniconfig",)), [Target("linux/amd64", version)], project=tmp_path)
    (tmp_path / "requirements.txt").write_text(found.requirements_txt)
    done = run(
        tools, str(tmp_path / "requirements.txt"), str(tmp_path / "out"), "--python", version, "--slim"
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out/iniconfig/__pycache__").glob("*.pyc"))


def test_package_without_its_hash_is_refused(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(f"iniconfig==2.0.0 --hash=sha256:{'0' * 64}\n")
    done = run(tools, str(tmp_path / "requirements.txt"), str(tmp_path / "out"))
    assert done.returncode != 0
    assert not (tmp_path / "out" / "iniconfig").exists()


def test_secrets_that_exist_reach_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_CONFIG_FILE", "PIP_CERT", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FNPACK_SECRETS", str(tmp_path))
    (tmp_path / "ca.crt").write_text("PEM")
    environment = install.environment()
    assert environment["PIP_CERT"] == str(tmp_path / "ca.crt")
    assert "PIP_CONFIG_FILE" not in environment


@pytest.mark.skipif(sys.platform != "linux", reason="libraries of another format are left alone")
def test_library_still_loads_without_its_debug_information(tmp_path: Path) -> None:
    import uvloop.loop

    whole = Path(uvloop.loop.__file__)
    library = tmp_path / whole.name
    shutil.copy(whole, library)
    install.drop_debug_information(library)
    assert library.stat().st_size < whole.stat().st_size / 2
    ctypes.CDLL(str(library))


def test_library_of_another_format_stays_as_it_is(tmp_path: Path) -> None:
    library = tmp_path / f"x{sysconfig.get_config_var('EXT_SUFFIX')}"
    library.write_bytes(b"MZ" + bytes(100))
    install.drop_debug_information(library)
    assert library.read_bytes() == b"MZ" + bytes(100)
