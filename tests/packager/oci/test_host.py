from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fnpack_host
import fnpack_triggers
from fnpack.oci import host
from fnpack.oci.cache import LayerCache
from fnpack.oci.host import HostRecipe
from fnpack.oci.pythons import find_interpreter
from layer_files import layer_bytes, layer_files

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_the_layer_holds_the_host_with_its_compiled_modules(tmp_path: Path, cache: LayerCache) -> None:
    files = layer_files(HostRecipe.installed(find_interpreter(MINOR, cache)).make(cache))
    for package in (fnpack_host, fnpack_triggers):
        root = Path(str(package.__file__)).parent
        for path in root.rglob("*.py"):
            place = f"opt/fnpack/{root.name}/{path.relative_to(root).as_posix()}"
            assert files[place] == path.read_bytes()
            compiled = (
                f"{place.rpartition('/')[0]}/__pycache__/{path.stem}.{sys.implementation.cache_tag}.pyc"
            )
            assert compiled in files
    for name, data in files.items():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    command = [sys.executable, "-B", "-v", "-c", "import fnpack_triggers.errors"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path / "opt/fnpack")}, capture_output=True, text=True, check=True
    )
    assert f"errors.{sys.implementation.cache_tag}.pyc matches" in done.stderr


def test_without_a_compiler_there_are_sources_alone(cache: LayerCache) -> None:
    assert not any(path.endswith(".pyc") for path in layer_files(HostRecipe.installed(None).make(cache)))


def test_an_unchanged_host_is_not_read_and_a_changed_one_is(
    tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "fnpack_host"
    shutil.copytree(Path(str(fnpack_host.__file__)).parent, package)
    recipe = HostRecipe((package,))
    made = recipe.make(cache)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
        again = HostRecipe((package,)).find(LayerCache(cache.folder))[1]
    assert again is not None
    assert layer_bytes(again) == layer_bytes(made)
    (package / "__init__.py").write_text("# edited\n")
    assert recipe.find(cache)[1] is None


def test_the_hosts_wheels_are_slim() -> None:
    assert (host.PLACE.root, host.PLACE.interpreter, host.PLACE.is_slim) == ("/opt/fnpack", None, True)
