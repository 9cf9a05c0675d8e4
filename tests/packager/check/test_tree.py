"""What a check runs in: models linked, folders closed, packages unpacked once and forgotten when nobody uses them."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from fnpack.check.tree import NotUnpacked, app_tree, checks_folder, package_tree, prune
from fnpack.dependencies.wheels import WheelFile
from package_index import make_wheel, sha256


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FNPACK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def wheel(folder: Path, name: str, **options: str) -> WheelFile:
    path = make_wheel(folder, name, "1.0", **options)
    return WheelFile(name, "1.0", path, sha256(path), path.name)


def test_models_are_linked_and_the_apps_folders_closed(tmp_path: Path) -> None:
    app, model = tmp_path / "app", tmp_path / "model.bin"
    (app / "sub").mkdir(parents=True)
    (app / "score.py").write_text("x = 1")
    (app / "local.settings.json").write_text("{}")
    model.write_bytes(b"weights")
    models = {"m:1": {"home/site/wwwroot/azureml-models/m/1/model.bin": model}}
    with app_tree(app, models, tmp_path) as tree:
        place = tree / "azureml-models" / "m" / "1" / "model.bin"
        assert place.stat().st_ino == model.stat().st_ino
        assert not (tree / "local.settings.json").exists()
        assert tree.stat().st_mode & 0o222 == 0
        assert place.parent.stat().st_mode & 0o222 == 0
    assert not tree.exists()
    assert model.read_bytes() == b"weights"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app", "model.bin"]


def test_packages_are_unpacked_once_by_many_at_once(tmp_path: Path) -> None:
    wheels = [wheel(tmp_path / "w", name) for name in ("alpha", "beta")]
    found: list[Path | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(package_tree(wheels, sys.executable))) for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    (place,) = set(found)
    assert place is not None
    assert {path.name for path in place.iterdir()} >= {"alpha", "beta", "alpha-1.0.dist-info"}
    assert list((checks_folder() / "packages").iterdir()) == [place], "no half-made folders"
    assert package_tree([], sys.executable) is None
    assert package_tree(wheels[:1], sys.executable) != place


def test_wheel_for_another_machine_is_told(tmp_path: Path) -> None:
    other = wheel(tmp_path / "w", "alpha", tag="cp27-cp27m-win32")
    with pytest.raises(NotUnpacked, match="do not fit this machine"):
        package_tree([other], sys.executable)
    assert not list((checks_folder() / "packages").iterdir())


def test_what_was_not_used_for_long_is_removed(tmp_path: Path) -> None:
    old = package_tree([wheel(tmp_path / "w", "alpha")], sys.executable)
    new = package_tree([wheel(tmp_path / "w", "beta")], sys.executable)
    assert old is not None
    assert new is not None
    os.utime(old, (0, 0))
    note = checks_folder() / "passed" / "key"
    note.parent.mkdir()
    note.write_text("{}")
    os.utime(note, (0, 0))
    assert prune() == 2
    assert not old.exists()
    assert not note.exists()
    assert new.exists()
    assert prune() == 0
