from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from fnpack.oci.cache import LayerCache
from fnpack.oci.errors import FileRefused
from fnpack.oci.tree import TreeRecipe, tree_entries
from layer_files import layer_files, layer_tar


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    (root / "src").mkdir(parents=True)
    (root / "src" / "score.py").write_text("x = 1")
    (root / "tool").write_text("#!/bin/sh")
    (root / "tool").chmod(0o755)
    return root


def test_files_are_listed_with_their_modes(folder: Path) -> None:
    entries = tree_entries(folder, "/home/app")
    assert [(one.path, one.is_executable) for one in entries] == [
        ("home/app/src/score.py", False),
        ("home/app/tool", True),
    ]


def test_caches_and_what_is_named_are_left_out(folder: Path) -> None:
    (folder / "src" / "__pycache__").mkdir()
    (folder / "src" / "__pycache__" / "score.pyc").write_bytes(b"")
    (folder / "models").mkdir()
    (folder / "models" / "m.bin").write_bytes(b"")
    names = [one.path for one in tree_entries(folder, "app", leave_out={"models", "tool"})]
    assert names == ["app/src/score.py"]


def test_links_inside_are_followed_or_kept(folder: Path) -> None:
    (folder / "link.py").symlink_to("src/score.py")
    (folder / "more").symlink_to("src")
    followed = {one.path: one for one in tree_entries(folder, "app")}
    assert followed["app/link.py"].source == folder / "link.py"
    assert "app/more/score.py" in followed
    kept = {one.path: one.link for one in tree_entries(folder, "app", keeps_links=True)}
    assert (kept["app/link.py"], kept["app/more"]) == ("src/score.py", "src")


def test_a_kept_link_may_name_its_place_in_the_image(folder: Path) -> None:
    (folder / "python").symlink_to("/opt/env/bin/python3")
    (entry,) = (one for one in tree_entries(folder, "/opt/env", keeps_links=True) if one.link)
    assert entry.link == "/opt/env/bin/python3"


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "src/../../secret"])
@pytest.mark.parametrize("keeps_links", [False, True])
def test_a_link_out_of_the_folder_is_refused(folder: Path, target: str, keeps_links: bool) -> None:
    (folder.parent / "secret").write_text("secret")
    (folder / "link").symlink_to(target)
    with pytest.raises(FileRefused, match="link: the link leads out of"):
        tree_entries(folder, "app", keeps_links=keeps_links)


def test_a_link_that_leads_nowhere_or_in_circles_is_refused(folder: Path) -> None:
    (folder / "link").symlink_to("gone")
    with pytest.raises(FileRefused, match="leads nowhere"):
        tree_entries(folder, "app")
    (folder / "link").unlink()
    (folder / "src" / "up").symlink_to("..")
    with pytest.raises(FileRefused, match="leads back to a folder above"):
        tree_entries(folder, "app")


def test_a_tree_is_a_layer_with_its_links_and_empty_folders(folder: Path, cache: LayerCache) -> None:
    (folder / "var" / "empty").mkdir(parents=True)
    (folder / "link").symlink_to("src/score.py")
    (folder / "src" / "__pycache__").mkdir()
    (folder / "src" / "__pycache__" / "score.pyc").write_bytes(b"compiled")
    recipe = TreeRecipe("conda", folder, "/opt/env", "digest of the lock")
    layer = recipe.make(cache)
    assert layer_files(layer) == {
        "opt/env/src/__pycache__/score.pyc": b"compiled",
        "opt/env/src/score.py": b"x = 1",
        "opt/env/tool": b"#!/bin/sh",
    }
    with tarfile.open(fileobj=io.BytesIO(layer_tar(layer))) as archive:
        assert archive.getmember("opt/env/link").linkname == "src/score.py"
        assert archive.getmember("opt/env/var/empty").isdir()
        assert archive.getmember("opt/env/tool").mode == 0o755
    (folder / "tool").unlink()
    assert recipe.find(cache)[1] == layer  # the digest alone is looked at
    assert TreeRecipe("conda", folder, "/opt/env", "another").find(cache)[1] is None


def test_sockets_pipes_and_devices_are_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(FileRefused, match="pipe is neither a file nor a folder"):
        tree_entries(folder, "app")
    (folder / "pipe").unlink()
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(folder)  # a socket's path must be short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        with pytest.raises(FileRefused, match="socket is neither a file nor a folder"):
            tree_entries(folder, "app")
    (folder / "socket").unlink()
    (folder / "null").symlink_to("/dev/null")
    with pytest.raises(FileRefused, match="leads out of"):
        tree_entries(folder, "app")
