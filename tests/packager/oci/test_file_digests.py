"""Digests of files: remembered while a file is the same, and its mode is part of what a layer is made from."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fnpack.oci import file_digests
from fnpack.oci.file_digests import hashed_files
from fnpack.oci.function_app import host_recipe
from fnpack.oci.tree_layers import FilesRecipe

OLD_S = 1_600_000_000


def old_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    os.utime(path, (OLD_S, OLD_S))
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read, in order."""
    found: list[Path] = []
    sha256 = file_digests._sha256

    def noted(file: Path) -> str:
        found.append(file)
        return sha256(file)

    monkeypatch.setattr(file_digests, "_sha256", noted)
    return found


def test_file_is_read_again_when_it_changed_or_is_young(tmp_path: Path, read: list[Path]) -> None:
    old, young = old_file(tmp_path / "old", b"1"), tmp_path / "young"
    young.write_bytes(b"2")
    files, note = {"a/old": old, "a/young": young}, tmp_path / "notes" / "of-it"
    first = hashed_files(files, note)
    assert [one.sha256 for one, _ in first] == [hashlib.sha256(data).hexdigest() for data in (b"1", b"2")]
    assert read == [old, young]
    assert hashed_files(files, note) == first
    assert read == [old, young, young], "the old one is known"
    old_file(old, b"33")
    assert hashed_files(files, note)[0][0].sha256 == hashlib.sha256(b"33").hexdigest()


def test_mode_makes_another_layer_of_the_same_bytes(tmp_path: Path) -> None:
    file, note = old_file(tmp_path / "run", b"#!/bin/sh"), tmp_path / "note"
    keys = []
    for mode in (0o644, 0o755):
        file.chmod(mode)
        recipe = FilesRecipe({"bin/run": file}, "a script", note=note)
        keys.append(recipe.key)
        assert [one.is_executable for one in recipe.hashed] == [mode == 0o755]
    assert keys[0] != keys[1]


def test_hosts_modules_are_read_once_for_all_builds(tmp_path: Path, read: list[Path]) -> None:
    first = host_recipe("3.11", tmp_path).key
    is_settled = not any(file_digests.is_young(file_digests.stamp_of(file)) for file in read)
    assert read
    read.clear()
    assert host_recipe("3.11", tmp_path).key == first == host_recipe("3.11").key
    assert not is_settled or len(read) == len(host_recipe("3.11").files), (
        "the one without notes reads them all"
    )
