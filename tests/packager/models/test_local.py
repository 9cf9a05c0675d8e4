"""What only the registry in a folder has: sweeping after a crash, faults of the disk and of the database."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from fnpack.models.errors import ContentDamaged, RegistryError
from fnpack.models.local import LocalRegistry
from fnpack.models.registry import Collected, Draft


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights" * 1000)
    return path


# Ends at the moment that is most dangerous: the content is at its place, the record is not committed.
CRASH = """
import os, sys
from pathlib import Path
from fnpack.models import content
from fnpack.models.local import LocalRegistry
from fnpack.models.registry import Draft
content.sync_folder = lambda folder: os._exit(9)
LocalRegistry(Path(sys.argv[1])).register(Draft("m", Path(sys.argv[2])))
"""


def test_next_registration_sweeps_what_a_crash_left(tmp_path: Path, weights: Path) -> None:
    root = tmp_path / "registry"
    crashed = subprocess.run([sys.executable, "-c", CRASH, str(root), str(weights)], check=False, timeout=30)
    assert crashed.returncode == 9
    assert len(list((root / "content").glob("??/*"))) == 1
    assert LocalRegistry(root).records() == ()
    (tmp_path / "other").write_text("x")
    assert LocalRegistry(root).register(Draft("m", tmp_path / "other")).version == 1
    assert len(list((root / "content").glob("??/*"))) == 1
    assert list((root / "staging").iterdir()) == []


def test_collect_tells_what_it_removed(tmp_path: Path, weights: Path) -> None:
    root = tmp_path / "registry"
    assert LocalRegistry(root).collect() == Collected()
    subprocess.run([sys.executable, "-c", CRASH, str(root), str(weights)], check=False, timeout=30)
    assert LocalRegistry(root).collect() == Collected(registrations=1, files=1, size_bytes=7000)
    assert LocalRegistry(root).collect() == Collected()


def test_equal_content_is_stored_once_and_goes_with_its_last_model(tmp_path: Path, weights: Path) -> None:
    registry = LocalRegistry(tmp_path / "registry")
    for name in ("a", "b"):
        registry.register(Draft(name, weights))
    stored = list((tmp_path / "registry" / "content").glob("??/*"))
    assert len(stored) == 1
    assert stored[0].stat().st_mode & 0o222 == 0
    registry.delete("a", 1)
    assert stored[0].exists()
    registry.delete("b", 1)
    assert not stored[0].exists()


def test_checkout_takes_no_space_and_goes_with_its_model(tmp_path: Path, weights: Path) -> None:
    registry = LocalRegistry(tmp_path / "registry")
    path = registry.checkout(registry.register(Draft("m", weights)))
    (stored,) = (tmp_path / "registry" / "content").glob("??/*")
    assert path.samefile(stored)
    registry.delete("m", 1)
    assert not path.parent.exists()


def test_source_that_changes_later_does_not_change_the_model(tmp_path: Path, weights: Path) -> None:
    registry = LocalRegistry(tmp_path / "registry")
    record = registry.register(Draft("m", weights))
    weights.write_bytes(b"other")
    assert registry.fetch(record, tmp_path / "out").read_bytes() == b"weights" * 1000


def test_damaged_content_is_told_and_not_handed_out(tmp_path: Path, weights: Path) -> None:
    registry = LocalRegistry(tmp_path / "registry")
    record = registry.register(Draft("m", weights))
    (stored,) = (tmp_path / "registry" / "content").glob("??/*")
    stored.chmod(0o644)
    stored.write_bytes(b"x" * 7000)
    with pytest.raises(ContentDamaged, match=r"`model.bin` is not what was registered"):
        registry.fetch(record, tmp_path / "out")
    stored.unlink()
    with pytest.raises(ContentDamaged, match=r"has lost the file `model.bin`"):
        registry.fetch(record, tmp_path / "out")
    with pytest.raises(ContentDamaged, match="has lost"):
        registry.checkout(record)


def test_newer_and_broken_databases_are_told_apart_from_bugs(tmp_path: Path, weights: Path) -> None:
    root = tmp_path / "registry"
    registry = LocalRegistry(root)
    registry.register(Draft("m", weights))
    database = sqlite3.connect(root / "registry.db", isolation_level=None)
    database.execute("pragma user_version = 2")
    database.close()
    for ask in (registry.records, lambda: registry.register(Draft("m", weights))):
        with pytest.raises(RegistryError, match="version 2, which this fnpack does not know"):
            ask()
    (root / "registry.db").write_text("this is no database, but long enough to be looked at" * 100)
    with pytest.raises(RegistryError, match="not a database"):
        registry.records()


def test_place_that_cannot_be_written_is_named(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="cannot register m: .*file") as caught:
        LocalRegistry(tmp_path / "file" / "registry").register(Draft("m", weights))
    assert caught.value.hint
