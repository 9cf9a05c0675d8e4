"""An installed wheel is what `installer`, the reference, installs; what must not be unpacked is refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from itertools import filterfalse
from pathlib import Path

import pytest
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile as ReferenceWheel
from tests.packager.oci.conftest import entries

from fnpack.dependencies.lock import Requirements
from fnpack.dependencies.provide import resolve, wheels
from fnpack.dependencies.target import Target
from fnpack.oci import wheel_layers
from fnpack.oci.errors import ContentClash, UnsafeContent
from fnpack.oci.installed import overwritten
from fnpack.oci.recipes import layer_of
from fnpack.oci.wheel_layers import WheelRecipe, wheel_recipes

SITE = "home/site/wwwroot/.python_packages/lib/site-packages"
# With commands, scripts, data and compiled parts among them.
A_FEW = ("click", "httptools", "joblib", "threadpoolctl", "tqdm", "numpy")
MOST_USED = (
    "accelerate", "aiohttp", "azure-storage-blob", "catboost", "cffi", "cryptography", "fastapi", "huggingface-hub",
    "jinja2", "joblib", "keras", "lightgbm", "matplotlib", "networkx", "nltk", "numba", "onnx", "onnxruntime",
    "opencv-python-headless", "pandas", "pillow", "polars", "protobuf", "psutil", "pyarrow", "pydantic", "requests",
    "safetensors", "scikit-image", "scikit-learn", "scipy", "sentencepiece", "shap", "spacy", "statsmodels", "sympy",
    "tensorflow-cpu", "tokenizers", "transformers", "xgboost",
)  # fmt: skip
EVERYTHING = os.environ.get("FNPACK_TEST_WHEELS") == "all"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def installed(file, folder: Path) -> dict[str, bytes]:
    """What the reference puts into site-packages."""
    site = str(folder / "site")
    places = {"headers": str(folder / "headers"), "scripts": f"{site}/bin"}
    destination = SchemeDictionaryDestination(
        {"purelib": site, "platlib": site, "data": site, **places},
        interpreter=sys.executable,
        script_kind="posix",
    )
    with zipfile.ZipFile(file.path) as archive:
        install(ReferenceWheel(archive), destination, {})
    root = folder / "site"
    return {
        path.relative_to(root).as_posix(): short(path.name, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def short(path: str, content: bytes) -> bytes:
    """A large file's digest stands for it: forty packages are larger than the memory."""
    is_whole = len(content) < 1 << 20 or path.endswith("RECORD")
    return content if is_whole else hashlib.sha256(content).digest()


def laid_out(layer) -> dict[str, bytes]:
    return {
        path.removeprefix(f"{SITE}/"): short(path, content)
        for path, (kind, _, content) in entries(layer).items()
        if kind == "file" and "__pycache__" not in path
    }


def is_command(content: bytes) -> bool:
    return content.startswith(b"#!/usr/bin/env python3\n")


def assert_same(ours: dict[str, bytes], reference: dict[str, bytes]) -> None:
    is_record = lambda path: path.endswith(".dist-info/RECORD")  # noqa: E731 - used in two comprehensions
    assert set(ours) == set(reference)
    for path in filterfalse(is_record, reference):
        if not is_command(ours[path]):  # which finds its packages another way
            assert ours[path] == reference[path], path
    for path in filter(is_record, reference):
        in_record = {line.split(",")[0] for line in ours[path].decode().splitlines()}
        assert {p for p in ours if p.split("/")[0].rpartition(".dist-info")[0]} <= in_record


def test_wheel_with_every_kind_of_content(cache, make_wheel, tmp_path) -> None:
    wheel = make_wheel(
        "mine",
        {
            "mine/__init__.py": b"import os\n" * 100,
            "mine/big.bin": bytes(range(256)) * 5000,
            "mine/run.sh": b"#!/bin/sh\n" * 200,
            "mine/tests/test_big.py": b"import os\n",
            "mine.pth": b"import sys\n",
            "mine-1.0.data/purelib/extra.py": b"X = 1\n",
            "mine-1.0.data/data/share/mine/notes.txt": b"notes " * 90,
            "mine-1.0.data/scripts/mine-cli": b"#!python\nprint()\n",
            "mine-1.0.data/headers/mine.h": b"int x;\n",
            "mine-1.0.dist-info/entry_points.txt": b"[console_scripts]\nmine = mine:main\n",
        },
        modes={"mine/run.sh": 0o100755},
    )
    layer = layer_of(WheelRecipe((wheel,), SITE, VERSION), cache)
    assert_same(laid_out(layer), installed(wheel, tmp_path / "reference"))
    found = entries(layer)
    assert found[f"{SITE}/mine/run.sh"][1] == 0o755
    assert found[f"{SITE}/mine/__init__.py"][1] == 0o644
    tag = f"cpython-{VERSION.replace('.', '')}"
    assert f"{SITE}/mine/__pycache__/__init__.{tag}.pyc" in found
    assert f"{SITE}/mine/tests/test_big.py" in found
    assert not any(path.startswith(f"{SITE}/mine/tests/__pycache__") for path in found)
    assert f"mine/__pycache__/__init__.{tag}.pyc,," in found[f"{SITE}/mine-1.0.dist-info/RECORD"][2].decode()


def test_commands_find_their_package_and_the_images_python(cache, make_wheel, tmp_path) -> None:
    files = {
        "mine/__init__.py": b"def main():\n    print('hello')\n    return 3\n",
        "mine-1.0.data/scripts/tool": b"#!python\nprint('tool')\n",
        "mine-1.0.data/scripts/shell": b"#!/bin/sh\necho shell\n",
        "mine-1.0.dist-info/entry_points.txt": b"[console_scripts]\nmine = mine:main\n",
    }
    layer = layer_of(WheelRecipe((make_wheel("mine", files),), SITE, VERSION), cache)
    said = []
    for path, (kind, mode, content) in entries(layer).items():
        if kind == "file":
            file = tmp_path / "root" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(mode)
    for name in ("mine", "tool", "shell"):
        command = [tmp_path / "root" / SITE / "bin" / name]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        said.append((done.stdout, done.returncode))
    assert said == [("hello\n", 3), ("tool\n", 0), ("shell\n", 0)]
    slim = layer_of(WheelRecipe((make_wheel("mine", files),), SITE, VERSION, is_slim=True), cache)
    assert not any("/bin/" in path for path in entries(slim))


@pytest.mark.parametrize(
    "text", ["[console_scripts]\n../x = a:b\n", "[console_scripts]\nx = a:b; import os\n", "x\n"]
)
def test_command_that_cannot_be_written_is_refused(cache, make_wheel, text) -> None:
    wheel = make_wheel("mine", {"mine.py": b"", "mine-1.0.dist-info/entry_points.txt": text.encode()})
    with pytest.raises(UnsafeContent, match="entry points that cannot be read"):
        layer_of(WheelRecipe((wheel,), SITE, VERSION), cache)


@pytest.mark.filterwarnings("ignore:Skip installing .*__pycache__:RuntimeWarning")
@pytest.mark.timeout(3000 if EVERYTHING else 180)
def test_real_wheels_are_installed_as_the_reference_does(cache, tmp_path) -> None:
    """FNPACK_TEST_WHEELS=all does so with the forty most used in machine learning."""
    target = Target("linux/amd64", VERSION)
    for name in MOST_USED if EVERYTHING else A_FEW:
        folder = tmp_path / name
        folder.mkdir()
        found = resolve(Requirements((name,), "the test"), [target], project=folder)
        (wheel,) = wheels(found, target, only=[name])
        layer = layer_of(WheelRecipe((wheel,), SITE, VERSION), cache)
        assert_same(laid_out(layer), installed(wheel, folder))
        shutil.rmtree(folder)
        shutil.rmtree(cache.folder)


def test_same_wheels_give_the_same_layer_in_any_cache(cache, make_wheel, tmp_path) -> None:
    recipe = WheelRecipe(
        (make_wheel("a", {"a.py": b"A = 1\n" * 100}), make_wheel("b", {"b.py": b"B = 1\n"})), SITE, VERSION
    )
    other = type(cache)(tmp_path / "other")
    first, second = layer_of(recipe, cache), layer_of(recipe, other)
    assert (first.descriptor.digest, first.diff_id) == (second.descriptor.digest, second.diff_id)


def test_large_wheels_have_a_layer_each_and_the_others_one(make_wheel) -> None:
    made = [make_wheel(name, {f"{name}.py": b""}) for name in ("big", "large", "small", "tiny")]
    sizes = {"big": 9_000_000, "large": 6_000_000, "small": 10, "tiny": 5}
    recipes = wheel_recipes(made, SITE, VERSION, sizes=lambda one: sizes[one.name])
    assert [[one.name for one in recipe.wheels] for recipe in recipes] == [
        ["big"],
        ["large"],
        ["small", "tiny"],
    ]


def test_layers_are_at_most_so_many(make_wheel, monkeypatch) -> None:
    monkeypatch.setattr(wheel_layers, "MOST_LAYERS", 2)
    made = [make_wheel(f"p{number}", {f"p{number}.py": b""}) for number in range(5)]
    recipes = wheel_recipes(made, SITE, VERSION, sizes=lambda one: 10_000_000 + int(one.name[1]))
    assert [[one.name for one in recipe.wheels] for recipe in recipes] == [["p3"], ["p4"], ["p0", "p1", "p2"]]


def test_a_file_that_two_packages_have_is_the_later_ones(cache, make_wheel) -> None:
    first = make_wheel("aa", {"shared.py": b"A\n", "same.py": b"S\n"})
    second = make_wheel("bb", {"shared.py": b"B\n", "same.py": b"S\n"})
    lost = overwritten([first, second])
    assert lost == {("aa", "shared.py")}
    layer = layer_of(WheelRecipe((first, second), SITE, VERSION, lost), cache)
    assert laid_out(layer)["shared.py"] == b"B\n"
    alone = layer_of(WheelRecipe((first,), SITE, VERSION, lost), cache)
    assert "shared.py" not in laid_out(alone)


def test_a_path_that_is_file_and_folder_is_refused(make_wheel) -> None:
    with pytest.raises(ContentClash, match="`thing` is a file of aa and a folder of bb"):
        overwritten([make_wheel("aa", {"thing": b""}), make_wheel("bb", {"thing/x.py": b""})])


@pytest.mark.parametrize(
    ("files", "modes", "reason"),
    [
        ({"../out.py": b""}, {}, "leads out"),
        ({"/etc/passwd": b""}, {}, "leads out"),
        ({"a/../../b": b""}, {}, "leads out"),
        ({"a\\b.py": b""}, {}, "leads out"),
        ({"a//b.py": b""}, {}, "plain form"),
        ({"a\n.py": b""}, {}, "control character"),
        ({"x" * 256: b""}, {}, "longer"),
        ({"/".join(["d" * 200] * 25): b""}, {}, "longer"),
        ({"link": b"/etc/passwd"}, {"link": 0o120777}, "link or device"),
        ({"device": b""}, {"device": 0o020666}, "link or device"),
        ({"m.py": b"1", "mine-1.0.data/purelib/m.py": b"2"}, {}, "twice"),
    ],
)
def test_hostile_wheel_is_refused_by_name(cache, make_wheel, files, modes, reason) -> None:
    wheel = make_wheel("mine", files, modes=modes)
    with pytest.raises(UnsafeContent, match=reason) as caught:
        layer_of(WheelRecipe((wheel,), SITE, VERSION), cache)
    assert "mine-1.0-py3-none-any.whl" in str(caught.value)
    assert not list((cache.folder / "recipes").glob("*"))


def test_wheel_without_record_is_refused(cache, make_wheel) -> None:
    with pytest.raises(UnsafeContent, match="no RECORD"):
        layer_of(WheelRecipe((make_wheel("mine", {"a.py": b""}, record=False),), SITE, VERSION), cache)


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_damaged_wheel_is_refused(cache, make_wheel, at) -> None:
    wheel = make_wheel("mine", {"big.bin": bytes(range(256)) * 300})
    data = bytearray(wheel.path.read_bytes())
    wheel.path.write_bytes(data[: int(len(data) * at)])
    with pytest.raises(UnsafeContent):
        layer_of(WheelRecipe((wheel,), SITE, VERSION), cache)


def test_flipped_bytes_never_get_into_a_layer(cache, make_wheel) -> None:
    wheel = make_wheel("mine", {"big.bin": bytes(range(256)) * 300}, stored=False)
    data = bytearray(wheel.path.read_bytes())
    place = data.index(b"big.bin") + 40
    data[place] ^= 0xFF
    wheel.path.write_bytes(data)
    with pytest.raises(UnsafeContent, match="damaged"):
        layer_of(WheelRecipe((wheel,), SITE, VERSION), cache)


def test_bomb_is_refused_before_it_is_unpacked(cache, make_wheel) -> None:
    wheel = make_wheel("mine", {"zeros.bin": bytes(1000)})
    data = bytearray(wheel.path.read_bytes())
    directory = data.rindex(b"PK\x01\x02", 0, data.rindex(b"zeros.bin"))
    data[directory + 24 : directory + 28] = (2**31).to_bytes(4, "little")  # the size that it says it has
    wheel.path.write_bytes(data)
    with pytest.raises(UnsafeContent, match="as large as it says"):
        layer_of(WheelRecipe((wheel,), SITE, VERSION), cache)


def test_slim_layer_leaves_out_what_no_running_program_reads(cache, make_wheel) -> None:
    head = b"\x7fELF\x02\x01" + bytes(26) + (64).to_bytes(8, "little") + (9000).to_bytes(8, "little")
    head += (
        bytes(6)
        + (56).to_bytes(2, "little")
        + (1).to_bytes(2, "little")
        + (64).to_bytes(2, "little")
        + bytes(4)
    )
    program = (
        bytes(8) + bytes(24) + (4000).to_bytes(8, "little") + bytes(16)
    )  # offset 0, 4000 bytes in the file
    library = head + program + b"c" * (4000 - len(head) - len(program)) + b"debug" * 2000
    wheel = make_wheel("mine", {"m.so": library, "m.pyx": b"x", "m.pyi": b"x", "m.py": b"x = 1\n"})
    slim = laid_out(layer_of(WheelRecipe((wheel,), SITE, VERSION, is_slim=True), cache))
    assert {"m.pyx", "m.pyi"}.isdisjoint(slim)
    assert len(slim["m.so"]) == 4000
    assert slim["m.so"][64:] == library[64:4000]
    assert slim["m.so"][40:48] == bytes(8)
    assert laid_out(layer_of(WheelRecipe((wheel,), SITE, VERSION), cache))["m.so"] == library
