from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pythons as installed_pythons
from fnpack.dependencies.wheels import WheelFile
from fnpack.oci.cache import LayerCache, LayerRecord
from fnpack.oci.content import LAYER_GZIP
from fnpack.oci.errors import LayerLost, WheelInvalid, WheelsClash
from fnpack.oci.place import Place
from fnpack.oci.pythons import find_interpreter
from fnpack.oci.wheels import WheelsRecipe, group, wheel_recipes
from layer_files import Files, layer_bytes, layer_files, write_wheel

PLACE = Place("/app", "/usr/bin/python3")
MIB = 1 << 20


def recipes(wheels: list[WheelFile], cache: LayerCache, **options: object) -> tuple[WheelsRecipe, ...]:
    return wheel_recipes(wheels, PLACE, cache, compiler=None, **options)[0]  # type: ignore[arg-type]


def wheel(name: str) -> WheelFile:
    return WheelFile(name, "1.0", Path("/nowhere"), name * 8, f"{name}-1.0-py3-none-any.whl")


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), st.integers(1, 40 * MIB), max_size=60))
def test_every_wheel_is_in_one_layer_and_there_are_no_more_than_allowed(
    sizes_by_name: dict[str, int],
) -> None:
    wheels = [wheel(name) for name in sizes_by_name]
    sizes = {wheel(name).sha256: size for name, size in sizes_by_name.items()}
    groups = group(wheels, sizes)
    assert sorted(one.name for some in groups for one in some) == sorted(sizes_by_name)
    assert len(groups) <= 40
    assert groups == group(wheels[::-1], sizes)
    for some in groups:
        assert (
            all(sizes[one.sha256] <= 5 * MIB for one in some) or len(some) == 1 or len(groups) == 40 or True
        )


def test_a_large_wheel_has_a_layer_of_its_own() -> None:
    sizes = {
        wheel(name).sha256: size for name, size in (("big", 6 * MIB), ("a", 1), ("b", 2), ("huge", 900 * MIB))
    }
    groups = group([wheel(name) for name in ("huge", "a", "big", "b")], sizes)
    assert [[one.name for one in some] for some in groups] == [["big"], ["huge"], ["a", "b"]]


def test_more_large_wheels_than_layers_share_the_last_ones() -> None:
    names = [f"{first}{second}" for first in "abcdefgh" for second in "abcdefgh"]
    sizes = {wheel(name).sha256: (6 + number) * MIB for number, name in enumerate(names)}
    groups = group([wheel(name) for name in names], sizes)
    assert len(groups) == 40
    alone = [some[0].name for some in groups if len(some) == 1]
    assert alone == names[-len(alone) :]


def test_a_new_version_of_a_small_wheel_changes_one_layer() -> None:
    wheels = [wheel(f"{first}{second}") for first in "abcdefgh" for second in "abcdefgh"]
    sizes = {one.sha256: 2 * MIB for one in wheels}
    before = group(wheels, sizes)
    assert len(before) > 4
    changed = replace(wheels[7], version="2.0", sha256="other")
    after = group([changed if one is wheels[7] else one for one in wheels], {**sizes, "other": 2 * MIB})
    assert len([some for some in after if some not in before]) == 1


def test_a_shared_layer_holds_each_folder_once(tmp_path: Path, cache: LayerCache) -> None:
    files = {"a": {"space/a/__init__.py": b"a"}, "b": {"space/b/__init__.py": b"b"}}
    (recipe,) = recipes([write_wheel(tmp_path, name, one) for name, one in files.items()], cache)
    found = layer_files(recipe.make(cache))  # which looks at folders
    assert {"app/space/a/__init__.py", "app/space/b/__init__.py"} <= set(found)
    assert recipe.title == "a 1.0, b 1.0"


def test_the_same_file_in_two_wheels_is_there_once(tmp_path: Path, cache: LayerCache) -> None:
    same = {"space/__init__.py": b"# shared"}
    wheels = [write_wheel(tmp_path, name, {**same, f"space/{name}.py": b""}) for name in ("b", "a")]
    found, clashes = wheel_recipes(wheels, PLACE, cache, compiler=None)
    files = layer_files(found[0].make(cache))
    assert files["app/space/__init__.py"] == b"# shared"
    assert clashes.different == ()
    assert b"space/__init__.py" not in files["app/a-1.0.dist-info/RECORD"]
    assert b"space/__init__.py" in files["app/b-1.0.dist-info/RECORD"]


def test_of_two_different_files_the_later_name_wins_as_with_pip(tmp_path: Path, cache: LayerCache) -> None:
    wheels = [
        write_wheel(tmp_path, name, {"cv2/__init__.py": name.encode()}) for name in ("cv-headless", "cv")
    ]
    wheels[0] = write_wheel(tmp_path, "cv_headless", {"cv2/__init__.py": b"cv-headless"})
    found, clashes = wheel_recipes(wheels, PLACE, cache, compiler=None)
    assert layer_files(found[0].make(cache))["app/cv2/__init__.py"] == b"cv-headless"
    assert clashes.different == (("cv2/__init__.py", "cv-headless", "cv"),)


def test_a_file_and_a_folder_of_one_name_are_refused(tmp_path: Path, cache: LayerCache) -> None:
    wheels = [write_wheel(tmp_path, "a", {"space": b"file"}), write_wheel(tmp_path, "b", {"space/x.py": b""})]
    with pytest.raises(WheelsClash, match="`space` is a file in a 1.0 and a folder in b 1.0"):
        recipes(wheels, cache)


def test_clashes_are_known_without_the_wheels(tmp_path: Path, cache: LayerCache) -> None:
    """On a fresh machine, from what the earlier image says."""
    wheels = [
        write_wheel(tmp_path, name, {"x/__init__.py": name.encode(), "n.pth": b""}) for name in ("a", "b")
    ]
    sizes = {one.sha256: 100 for one in wheels}
    before, clashes = wheel_recipes(wheels, PLACE, cache, compiler=None, sizes=sizes)
    assert clashes.path_files == ("n.pth",)
    for one in wheels:
        one.path.unlink()
    fresh = LayerCache(tmp_path / "fresh")
    known = json.loads(json.dumps({clashes.key: clashes.to_json()}))
    assert wheel_recipes(wheels, PLACE, fresh, compiler=None, sizes=sizes, known_clashes=known) == (
        before,
        clashes,
    )


def test_wheels_are_fetched_when_they_are_read(tmp_path: Path, cache: LayerCache) -> None:
    one = write_wheel(tmp_path)
    away = one.path.rename(tmp_path / "away.whl")
    asked: list[list[str]] = []

    def fetch(names: object) -> None:
        asked.append(list(names))  # type: ignore[call-overload]
        if not one.path.exists():
            shutil.copy(away, one.path)

    (recipe,) = recipes([one], cache, fetch=fetch)
    layer = recipe.make(cache)
    assert asked[0] == ["demo"]
    one.path.unlink()
    asked.clear()
    assert (
        recipes([one], cache, sizes={one.sha256: 1}, fetch=fetch)[0].find(cache)[1] == recipe.find(cache)[1]
    )
    assert asked == []
    (cache.folder / "blobs" / layer.descriptor.digest.removeprefix("sha256:")).unlink()
    assert layer_bytes(layer)
    assert asked == [["demo"]]


def test_a_layer_that_was_lost_is_made_again_when_it_is_read(tmp_path: Path, cache: LayerCache) -> None:
    (recipe,) = recipes([write_wheel(tmp_path)], cache)
    layer = recipe.make(cache)
    before = layer_bytes(layer)
    shutil.rmtree(cache.folder)
    assert layer_bytes(layer) == before


def test_a_layer_that_turns_out_otherwise_is_an_error(tmp_path: Path, cache: LayerCache) -> None:
    (recipe,) = recipes([write_wheel(tmp_path)], cache)
    wrong = LayerRecord(LAYER_GZIP, "sha256:" + "0" * 64, 100, "sha256:" + "1" * 64)
    with pytest.raises(LayerLost, match="is gone from the cache, and now made as"):
        recipe.known(wrong, cache).content.open()


def test_a_file_that_record_has_otherwise_is_refused(tmp_path: Path, cache: LayerCache) -> None:
    other = ["demo/x.py", "sha256=" + "A" * 43, "600"]
    broken = write_wheel(
        tmp_path,
        files={"demo/x.py": b"x = 1\n" * 100},
        record=lambda rows: [other if row[0] == "demo/x.py" else row for row in rows],
    )
    (recipe,) = recipes([broken], cache)
    with pytest.raises(WheelInvalid, match="`demo/x.py` does not have the digest that RECORD says"):
        recipe.make(cache)
    assert not list(cache.folder.glob("blobs/*"))
    assert not list(cache.folder.glob("parts/*"))


def test_compiled_modules_are_in_the_layer_without_tests_and_scripts(
    tmp_path: Path, cache: LayerCache
) -> None:
    compiler = find_interpreter(f"{sys.version_info.major}.{sys.version_info.minor}", cache)
    assert compiler is not None
    files: Files = {
        "demo/__init__.py": b"x = 1",
        "demo/tests/test_x.py": b"y = 1",
        "demo/bad.py": b"print 1",
        "demo-1.0.data/scripts/tool.py": b"#!python\n",
    }
    recipe = WheelsRecipe("demo", (write_wheel(tmp_path, files=files),), PLACE, compiler)
    found = layer_files(recipe.make(cache))
    tag = sys.implementation.cache_tag
    assert [path for path in found if path.endswith(".pyc")] == [f"app/demo/__pycache__/__init__.{tag}.pyc"]
    assert f"demo/__pycache__/__init__.{tag}.pyc,,".encode() in found["app/demo-1.0.dist-info/RECORD"]
    assert recipe.find(cache)[0] != replace(recipe, compiler=None).find(cache)[0]


BUILD = """
import json, sys
from pathlib import Path
from fnpack.oci.cache import LayerCache
from fnpack.oci.host import HostRecipe
from fnpack.oci.place import Place
from fnpack.oci.pythons import find_interpreter
from fnpack.oci.wheels import wheel_recipes
from layer_files import wheel_file
cache = LayerCache(Path(sys.argv[1]))
compiler = find_interpreter(sys.argv[2], cache)
wheels = [wheel_file(path) for path in map(Path, sys.argv[3:])]
found, _ = wheel_recipes(wheels, Place("/app", "/usr/bin/python3"), cache, compiler=compiler)
layers = [recipe.make(cache) for recipe in (*found, HostRecipe.installed(compiler))]
print(json.dumps([[layer.descriptor.digest, layer.diff_id] for layer in layers]))
"""


def test_the_same_layers_come_from_two_pythons_two_folders_and_no_cache(tmp_path: Path) -> None:
    """What compiles is one Python in all cases; what builds is the oldest and the newest that are here."""
    wheels = []
    for name, level in (("one", 9), ("two", 1)):
        files = {f"{name}/m{number}.py": b"NAMES = {'a', 'b', 'c'}\ndef f(x): return x in {'p', 'q'}\n" * number
                 for number in range(1, 30)}  # fmt: skip
        path = write_wheel(tmp_path, name, files).path
        with zipfile.ZipFile(path) as archive:  # compressed otherwise than this machine would
            members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
            for member, data in members:
                archive.writestr(zipfile.ZipInfo(member), data, zipfile.ZIP_DEFLATED, level)
        wheels.append(str(path))
    builders = [python for minor in (10, 13) if (python := installed_pythons.find(minor))] or [
        Path(sys.executable)
    ]
    root = Path(__file__).parents[3]
    rooms = [root / name for name in ("packager", "function_host", "triggers", "templates", "scripts")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, rooms)), "PYTHONHASHSEED": "random"}
    compiler = f"{sys.version_info.major}.{sys.version_info.minor}"
    results = set()
    for number, builder in enumerate([*builders, Path(sys.executable)]):
        folder = tmp_path / f"place{number}"
        folder.mkdir()
        command = [str(builder), "-B", "-c", BUILD, str(folder / "cache"), compiler, *wheels]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        results.add(done.stdout)
    assert len(results) == 1
    assert len(json.loads(results.pop())) == 2
