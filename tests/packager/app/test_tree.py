from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fnpack.app.tree import LinkError, ignore_rules, model_files, source_files


def listed(root: Path) -> list[str]:
    return [entry.relative.as_posix() for entry in source_files(root)]


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_caches_environments_and_local_secrets_stay_behind(tmp_path: Path) -> None:
    make(
        tmp_path, "score.py", "a/b.py", ".git/config", "__pycache__/score.pyc", "a/b.pyc", ".venv/x", ".env",
        "local.settings.json", "myenv/pyvenv.cfg", "myenv/lib/x.py", ".hidden",
    )  # fmt: skip
    assert listed(tmp_path) == [".hidden", "a/b.py", "score.py"]


def test_ignore_file_is_honoured_and_left_out(tmp_path: Path) -> None:
    make(tmp_path, "score.py", "data/big.csv", "notes.md", "keep.md", "a/notes.md")
    (tmp_path / ".amlignore").write_text("# comment\ndata/\n*.md\n!keep.md\n")
    assert listed(tmp_path) == ["keep.md", "score.py"]


def test_links_inside_are_followed_and_links_outside_refused(tmp_path: Path) -> None:
    root = tmp_path / "src"
    make(root, "real.txt", "folder/x.txt")
    (root / "link.txt").symlink_to("real.txt")
    (root / "linked").symlink_to("folder")
    assert listed(root) == ["folder/x.txt", "link.txt", "linked/x.txt", "real.txt"]
    make(tmp_path, "secret.txt")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(LinkError, match="out of the source directory"):
        listed(root)


def test_link_to_a_folder_above_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a/b.txt")
    (tmp_path / "a" / "loop").symlink_to("..")
    with pytest.raises(LinkError, match="above it"):
        listed(tmp_path)


def test_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(LinkError, match="nowhere"):
        listed(tmp_path)


def test_models_may_link_to_a_cache_elsewhere(tmp_path: Path) -> None:
    make(tmp_path, "blobs/weights")
    model = tmp_path / "snapshot"
    model.mkdir()
    (model / "model.bin").symlink_to("../blobs/weights")
    assert [entry.relative.as_posix() for entry in model_files(model)] == ["model.bin"]


PATTERNS = st.lists(st.text("ab*?/!.[]-", min_size=1, max_size=6), min_size=1, max_size=4)
PATHS = st.lists(st.text("ab.", min_size=1, max_size=2), min_size=1, max_size=3).filter(
    lambda parts: not any(set(part) == {"."} for part in parts)
)


@settings(max_examples=60, deadline=None)
@given(PATTERNS, PATHS)
@example(["a/**/b"], ["a", "b"])
@example(["**/b"], ["a", "b"])
@example(["a/**"], ["a", "b"])
@example(["/b"], ["a", "b"])
@example(["*", "!a"], ["a"])
@example(["[z-a]"], ["z"])
@example(["[!z-a]", "[a-]", r"[\]-b-a]"], ["b"])
def test_ignore_rules_agree_with_git(
    tmp_path_factory: pytest.TempPathFactory, patterns: list[str], parts: list[str]
) -> None:
    """git check-ignore is the oracle; a path counts as ignored when one of the folders above it is."""
    root = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", root], check=True)
    path = "/".join(parts)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).touch()
    for name in (".gitignore", ".fnpackignore"):
        (root / name).write_text("\n".join(patterns) + "\n")
    git = (
        subprocess.run(["git", "-C", root, "check-ignore", "-q", "--no-index", path], check=False).returncode
        == 0
    )
    ignored = ignore_rules(root)
    ours = any(ignored("/".join(parts[:depth]), depth < len(parts)) for depth in range(1, len(parts) + 1))
    assert ours == git, (patterns, path)
