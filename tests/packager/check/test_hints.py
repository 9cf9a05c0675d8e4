"""What is said about a failed check: the package, file or setting that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnpack.check.hints import Surroundings, hint_for, missing_library, project_of
from fnpack.check.report import CheckFailed, Raised, last_lines, read_report


@pytest.mark.parametrize(
    ("module", "project"),
    [
        ("sklearn.linear_model", "scikit-learn"),
        ("cv2", "opencv-python-headless"),
        ("PIL.Image", "pillow"),
        ("yaml", "pyyaml"),
        ("azure.storage.blob", "azure-storage-blob"),
        ("azure.storage.queue", "azure-storage-queue"),
        ("xgboost", "xgboost"),
        ("my_module.part", "my-module"),
    ],
)
def test_module_is_told_as_its_project(module: str, project: str) -> None:
    assert project_of(module) == project


def surroundings(folder: Path, **changes: object) -> Surroundings:
    values = {"requirements": "", "script_folder": folder, "ships_folder": False, "model_files": ()}
    return Surroundings(**{**values, **changes})  # type: ignore[arg-type]


def test_missing_module_names_the_file_to_add_it_to(tmp_path: Path) -> None:
    raised = Raised("ModuleNotFoundError", "No module named 'yaml'", "", "yaml")
    assert "add `pyyaml` to conda.yml" in hint_for(
        "init", raised, surroundings(tmp_path, requirements="conda.yml")
    )
    (tmp_path / "yaml.py").touch()
    assert "is not shipped" in hint_for("init", raised, surroundings(tmp_path))
    assert "add `pyyaml`" in hint_for("init", raised, surroundings(tmp_path, ships_folder=True))


def test_missing_part_of_python_is_no_package(tmp_path: Path) -> None:
    raised = Raised("ModuleNotFoundError", "No module named '_sqlite3'", "", "_sqlite3")
    assert "a part of Python" in hint_for("import", raised, surroundings(tmp_path))


def test_missing_file_tells_what_the_model_folder_holds(tmp_path: Path) -> None:
    raised = Raised("FileNotFoundError", "no such file", "")
    assert "the app has no model: name one with --model" in hint_for("init", raised, surroundings(tmp_path))
    many = tuple(f"{number}.bin" for number in range(12))
    assert "0.bin, 1.bin" in hint_for("init", raised, surroundings(tmp_path, model_files=many))
    assert "and 2 more" in hint_for("init", raised, surroundings(tmp_path, model_files=many))


def test_folder_that_cannot_be_written_is_so_in_the_image_too(tmp_path: Path) -> None:
    raised = Raised("PermissionError", "denied", "", file="/home/site/wwwroot/cache.db")
    assert "the image's user may write to /tmp alone: write /home/site/wwwroot/cache.db there" in hint_for(
        "init", raised, surroundings(tmp_path)
    )


@pytest.mark.parametrize(
    ("text", "library"),
    [
        ("libgomp.so.1: cannot open shared object file: No such file or directory", "libgomp.so.1"),
        ("/x/lib.so: libz.so.1: cannot open shared object file: No such file", "libz.so.1"),
        ("undefined symbol: x", None),
    ],
)
def test_missing_system_library_is_found_in_the_loaders_words(text: str, library: str | None) -> None:
    assert missing_library(Raised("ImportError", text, "")) == library


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "null", '{"error": 1}', '{"step": "init", "error": 5}', "\x00"]
)
def test_unreadable_line_of_a_child_counts_for_nothing(line: str) -> None:
    good = '{"step": "init"}'
    assert read_report(f"{good}\n{line}\n").step == "init"
    assert read_report(line).step == "start"


def test_only_the_end_of_what_was_printed_is_shown() -> None:
    lines = last_lines("\n".join(f"{number} {'x' * 1000}" for number in range(100)))
    assert len(lines) == 20
    assert lines[-1].startswith("99 x")
    assert len(lines[-1]) == 400


def test_error_tells_step_cause_trace_and_output() -> None:
    error = CheckFailed("init", "ValueError: no", trace=["File x"], output=["said"], hint="mend it")
    assert str(error).splitlines() == [
        "the app fails its check when init() runs: ValueError: no",
        "  File x",
        "  it has printed:",
        "  | said",
    ]
