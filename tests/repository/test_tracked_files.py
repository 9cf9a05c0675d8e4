"""What may not be in the repository: index hosts, paths of one machine, a lock that names where it was made."""

from __future__ import annotations

from pathlib import Path

# in two parts, so that this file does not hold what it forbids
INDEX_HOSTS = ["pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org", "npmjs" + ".com"]
LARGEST_BYTES = 400_000


def text_of(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def test_no_file_names_an_index_host(root: Path, tracked: list[Path]) -> None:
    named = {
        (str(name), host) for name in tracked for host in INDEX_HOSTS if host in text_of(root / name).lower()
    }
    assert not named, "users have mirrors; settings of pip, uv and npm choose the index"


def test_no_file_names_the_checkouts_own_place(root: Path, tracked: list[Path]) -> None:
    places = {f"{place}/" for place in (root, Path.home()) if len(place.parts) > 2}
    named = {(str(name), place) for name in tracked for place in places if place in text_of(root / name)}
    assert not named


def test_no_lock_of_uv_is_tracked(tracked: list[Path]) -> None:
    assert not [name for name in tracked if name.name == "uv.lock"], "it names the index it was made from"


def test_no_tracked_file_is_a_model_or_large(root: Path, tracked: list[Path]) -> None:
    assert not [name for name in tracked if name.suffix in {".pkl", ".joblib", ".onnx"}]
    assert not [str(name) for name in tracked if (root / name).stat().st_size > LARGEST_BYTES]


def test_tests_need_no_package_of_their_own(tracked: list[Path]) -> None:
    assert not [name for name in tracked if name.parts[0] == "tests" and name.name == "__init__.py"]
