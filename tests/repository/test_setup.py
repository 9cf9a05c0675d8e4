"""Set-up works once and then costs nothing, and hands pip's settings on to uv, which does not read them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import setup as project_setup


@pytest.fixture
def pip_is_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting of this machine's pip or uv; gives the file that pip reads instead."""
    for name in (
        "PIP_INDEX_URL",
        "PIP_CERT",
        "PIP_NO_INDEX",
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
        "SSL_CERT_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "pip.conf"
    file.touch()
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    return file


def test_a_second_set_up_has_nothing_to_do(root: Path) -> None:
    command = [sys.executable, str(root / "scripts" / "setup.py")]
    subprocess.run(command, check=True, capture_output=True, cwd=root)
    done = subprocess.run(command, check=True, text=True, capture_output=True, cwd=root)
    assert (
        " done in " not in done.stderr
    )  # a part that cannot be had here is tried again, and said to be missing


def test_index_in_pips_file_reaches_uv(pip_is_unset: Path) -> None:
    pip_is_unset.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    assert project_setup.uv_environment()["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"


def test_pips_variable_wins_over_its_file(pip_is_unset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip_is_unset.write_text("[global]\nindex-url = https://file.example/simple\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example/simple")
    monkeypatch.setenv("PIP_CERT", "/etc/corporate.pem")
    environment = project_setup.uv_environment()
    assert environment["UV_DEFAULT_INDEX"] == "https://variable.example/simple"
    assert environment["SSL_CERT_FILE"] == "/etc/corporate.pem"


def test_uvs_own_setting_is_left_alone(pip_is_unset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    monkeypatch.setenv("UV_INDEX_URL", "https://uv.example/simple")
    environment = project_setup.uv_environment()
    assert environment["UV_INDEX_URL"] == "https://uv.example/simple"
    assert "UV_DEFAULT_INDEX" not in environment


def test_unsupported_python_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit, match=r"needs Python 3\.10 to 3\.13, not 3\.9\.1.*PYTHON="):
        project_setup.check_python()
