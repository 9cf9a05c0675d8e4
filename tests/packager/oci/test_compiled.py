"""Modules are compiled as py_compile does it, all of them or none."""

from __future__ import annotations

import marshal
import py_compile
import sys
from pathlib import Path

import pytest

from fnpack.oci import compiled as module
from fnpack.oci.compiled import compiled
from fnpack.oci.errors import CompilerFailed

OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TAG = f"cpython-{OWN_PYTHON.replace('.', '')}"


def test_modules_are_compiled_as_py_compile_does_it(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    text = "# -*- coding: latin-1 -*-\nNAME = 'J\xe4ger'\n\ndef f(x):\n    return [x, NAME]\n"
    source.write_text(text, "latin-1")
    expected = tmp_path / "a.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), str(expected), "/site/a.py", doraise=True, invalidation_mode=mode)
    found = compiled({"site/a.py": source.read_bytes(), "site/empty.py": b""}, OWN_PYTHON)
    assert found[f"site/__pycache__/a.{TAG}.pyc"] == expected.read_bytes()
    assert f"site/__pycache__/empty.{TAG}.pyc" in found


def test_module_for_another_python_is_left_out() -> None:
    sources = {"a.py": b"def f(): return 1\n", "b.py": b"this is no Python", "c.py": b"x = 1\0"}
    assert list(compiled(sources, OWN_PYTHON)) == [f"__pycache__/a.{TAG}.pyc"]


def test_name_of_a_module_may_be_anything() -> None:
    names = ["a\nb.py", "3 4\n5.py", "\udcff.py", "a b.py", "J\xe4ger.py"]
    found = compiled({name: f"x = {number}".encode() for number, name in enumerate(names)}, OWN_PYTHON)
    assert list(found) == [f"__pycache__/{name.removesuffix('.py')}.{TAG}.pyc" for name in names]
    shown = [marshal.loads(content[16:]).co_filename for content in found.values()]
    assert shown == [f"/{name}" for name in names]


def test_nothing_is_compiled_without_such_a_python() -> None:
    assert compiled({"a.py": b""}, "3.99") == {}


@pytest.mark.parametrize(
    "end", ["sys.exit(3)", "import os; os.kill(os.getpid(), 9)", "raise OSError('no more')"]
)
def test_compiler_that_ends_in_the_midst_is_told(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    broken = module._COMPILE.replace("    source = ", f"    if shown == '/b.py': {end}\n    source = ", 1)
    monkeypatch.setattr(module, "_COMPILE", broken)
    with pytest.raises(CompilerFailed, match="cannot be compiled with") as caught:
        compiled({"a.py": b"", "b.py": b"", "c.py": b""}, OWN_PYTHON)
    assert ("no more" in str(caught.value)) == ("no more" in end)


def test_compiler_that_is_no_program_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "interpreter", lambda version: str(tmp_path / "python"))
    with pytest.raises(CompilerFailed, match="No such file"):
        compiled({"a.py": b""}, OWN_PYTHON)
