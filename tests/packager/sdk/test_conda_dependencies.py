"""`CondaDependencies`: what the edits do to the YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fnpack import CondaDependencies
from fnpack.exceptions import UserErrorException


def test_created_without_packages_asks_for_what_sdk_v1_asked_for() -> None:
    made = CondaDependencies.create()
    assert list(made.pip_packages) == ["azureml-defaults"]
    assert made.conda_packages == []
    assert made.get_python_version() is None


def test_all_arguments_land_where_they_belong() -> None:
    made = CondaDependencies.create(
        pip_packages=["numpy==2.2.6"], conda_packages=["scikit-learn=1.7"], python_version="3.11"
    )
    assert made.as_dict()["dependencies"] == ["python=3.11", "scikit-learn=1.7", {"pip": ["numpy==2.2.6"]}]
    assert made.get_python_version() == "3.11"


def test_a_package_of_the_same_name_replaces_the_first() -> None:
    made = CondaDependencies.create(pip_packages=["Foo_bar==1", "x"], conda_packages=["numpy"])
    made.add_pip_package("foo-bar[extra]>=2")
    made.add_conda_package("conda-forge::numpy=2")
    assert made.pip_packages == ["foo-bar[extra]>=2", "x"]
    assert made.conda_packages == ["conda-forge::numpy=2"]
    made.add_conda_package("python=3.12.1")
    made.set_python_version("3.12")
    assert made.conda_packages[0] == "python=3.12"


def test_removing_takes_the_name_and_never_python() -> None:
    made = CondaDependencies.create(pip_packages=["a==1", "b"], conda_packages=["c=1"], python_version="3.11")
    made.remove_pip_package("A>=9")
    made.remove_conda_package("c")
    made.remove_pip_package("never-there")
    assert made.as_dict()["dependencies"] == ["python=3.11", {"pip": ["b"]}]
    with pytest.raises(UserErrorException, match="Python cannot be removed"):
        made.remove_conda_package("python")
    with pytest.raises(UserErrorException, match="no Python version"):
        made.set_python_version("three")


def test_channels_and_options() -> None:
    made = CondaDependencies.create(pip_packages=["a"], pip_indexurl="https://index.example/simple")
    made.set_pip_option("--pre")
    made.set_pip_option("--index-url https://other.example/simple")
    assert sorted(made.pip_options) == ["--index-url https://other.example/simple", "--pre"]
    made.remove_pip_option("--pre")
    for channel in ("conda-forge", "pytorch", "conda-forge"):
        made.add_channel(channel)
    made.remove_channel("pytorch")
    assert made.conda_channels == ["conda-forge"]
    made.set_pip_requirements(["z==1"])
    assert (made.pip_packages, made.pip_options) == (["z==1"], [])
    with pytest.raises(UserErrorException):
        made.set_pip_option("numpy")


def test_saved_file_is_read_again(tmp_path: Path) -> None:
    made = CondaDependencies.create(pip_packages=["numpy"], conda_packages=["x"], python_version="3.11")
    assert made.save_to_file(str(tmp_path), "env/my.yml") == "env/my.yml"
    path = made.save(str(tmp_path / "other.yml"))
    for file in (tmp_path / "env" / "my.yml", Path(path)):
        assert CondaDependencies(str(file)).as_dict() == made.as_dict()
        assert (
            yaml.safe_load(file.read_text()) == yaml.safe_load(made.serialize_to_string()) == made.as_dict()
        )


@pytest.mark.parametrize("text", ["a: [", "- x", "dependencies: 3", "\x00"])
def test_what_is_no_conda_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(UserErrorException, match=r"x\.yml"):
        CondaDependencies(str(tmp_path / "x.yml"))
    with pytest.raises(UserErrorException, match=r"none\.yml"):
        CondaDependencies(str(tmp_path / "none.yml"))


def test_dicts_given_out_are_copies() -> None:
    made = CondaDependencies.create(pip_packages=["a"])
    made.as_dict()["dependencies"].clear()  # type: ignore[attr-defined]
    assert made.pip_packages == ["a"]
