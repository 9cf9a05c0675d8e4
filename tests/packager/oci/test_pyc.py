from __future__ import annotations

import importlib.util
import marshal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

from fnpack.oci import compile_modules, pythons
from fnpack.oci.cache import LayerCache
from fnpack.oci.errors import CompileFailed
from fnpack.oci.pyc import Module, Pack, compiled, pyc_path
from fnpack.oci.pythons import Interpreter, find_interpreter

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
SOURCE = b"'doc'\nNAMES = {'a', 'b', 'c', 'd'} | {1}\ndef f(x):\n    return x in {'p', 'q', 'r'} or (1, (2, 'ab'))\n"


@pytest.fixture
def own(cache: LayerCache) -> Interpreter:
    found = find_interpreter(OWN, cache)
    assert found is not None
    return found


def read(pack: Pack, number: int) -> bytes:
    start, length = pack.spans[number]
    return pack.path.read_bytes()[start : start + length]


def test_a_compiled_module_is_one_that_python_imports(
    tmp_path: Path, own: Interpreter, cache: LayerCache
) -> None:
    pack = compiled("one", iter([Module("/app/m.py", SOURCE)]), 1, own, cache)
    file = tmp_path / "m.py"
    file.write_text("raise AssertionError('the source is not looked at')")
    place = tmp_path / pyc_path("m.py", own)
    assert place == Path(importlib.util.cache_from_source(str(file)))
    place.parent.mkdir()
    place.write_bytes(read(pack, 0))
    assert marshal.loads(read(pack, 0)[16:]).co_filename == "/app/m.py"
    command = [sys.executable, "-c", "import m; print(m.f('p'), m.__doc__)"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "doc"]


def test_what_does_not_compile_is_left_out_and_the_rest_is_not(own: Interpreter, cache: LayerCache) -> None:
    sources = [b"x = 1", b"print 'two'", b"\0", b"y = \xff", b"z = 3"]
    modules = (Module(f"/{number}.py", source) for number, source in enumerate(sources))
    pack = compiled("some", modules, len(sources), own, cache)
    assert [bool(length) for _, length in pack.spans] == [True, False, False, False, True]


def test_modules_are_compiled_once(own: Interpreter, cache: LayerCache) -> None:
    first = compiled("once", iter([Module("/m.py", SOURCE)]), 1, own, cache)

    never = (Module(pytest.fail("read again"), b"") for _ in range(1))
    assert compiled("once", never, 1, own, cache) == first


def test_many_modules_keep_their_order_in_several_processes(own: Interpreter, cache: LayerCache) -> None:
    modules = (Module(f"/{number}.py", b"x = %d" % number) for number in range(901))
    pack = compiled("many", modules, 901, own, cache)
    for number in (0, 1, 450, 451, 900):
        code = marshal.loads(read(pack, number)[16:])
        assert (code.co_filename, code.co_consts[0]) == (f"/{number}.py", number)


def stdlib() -> list[Path]:
    return sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:80]


def test_what_the_process_did_before_does_not_show() -> None:
    """marshal marks what anything else in the process refers to; two processes never agree on that by themselves."""
    differs = 0
    for path in stdlib():
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        once = marshal.dumps(code)
        held = [(inner, inner.co_consts, inner.co_names) for inner in walk(code)]
        again = marshal.dumps(code)
        assert held
        differs += once != again
        assert compile_modules.canonical(once) == compile_modules.canonical(again)
        assert marshal.loads(compile_modules.canonical(once)) == code
    assert differs


def walk(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from walk(constant)


def test_canonical_bytes_stay_as_they_are() -> None:
    for path in stdlib()[:20]:
        data = compile_modules.canonical(
            marshal.dumps(compile(path.read_bytes(), "m", "exec", dont_inherit=True))
        )
        assert compile_modules.canonical(data) == data


def test_every_kind_of_constant_is_known() -> None:
    source = (
        "a = 1, -(2**100), 1.5, 2j, None, ..., True, False, b'x', 'x' * 3, 'ü', 'long ' * 100, frozenset()\n"
        "b = x in {1, 2}\n"
        "class C:\n    def f(self, *, k=1):\n        def g():\n            return self, k\n        return g\n"
    )
    code = compile(source, "m", "exec")
    assert marshal.loads(compile_modules.canonical(marshal.dumps(code))) == code


def test_a_broken_interpreter_is_named(tmp_path: Path, cache: LayerCache) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'it is broken' >&2\nexit 9\n")
    program.chmod(0o755)
    with pytest.raises(CompileFailed, match="cannot compile /m.py .* it is broken"):
        compiled("broken", iter([Module("/m.py", SOURCE)]), 1, Interpreter(str(program), "3.11.0"), cache)
    assert not list((cache.folder / "parts").iterdir())


def test_another_python_is_found_once_and_found_again(
    cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [other for minor in (10, 11, 13) if (other := find_interpreter(f"3.{minor}", cache))]
    assert own_version() in [one.version for one in found]
    monkeypatch.setattr(pythons, "_search", lambda minor: pytest.fail("searched again"))
    assert [one for one in (find_interpreter(f"3.{minor}", cache) for minor in (10, 11, 13)) if one] == found


def own_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def test_a_python_that_was_replaced_is_looked_for_again(
    tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "python3.42"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    assert find_interpreter("3.42", cache) is None

    program.write_text(f"#!/bin/sh\necho cpython 3.42.1 {program}\n")
    program.chmod(0o755)
    cache = LayerCache(tmp_path / "another")  # what was not found is looked for again after a while only
    assert find_interpreter("3.42", cache) == Interpreter(str(program), "3.42.1")
    program.write_text(f"#!/bin/sh\necho cpython 3.42.10 {program}\n")
    assert find_interpreter("3.42", cache) == Interpreter(str(program), "3.42.10")
