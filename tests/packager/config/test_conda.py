from __future__ import annotations

from pathlib import Path

import pytest

from fnpack.config.conda import CondaEnvironment, read_conda, read_conda_file
from fnpack.config.problems import Problems
from fnpack.errors import ConfigurationError
from fnpack.spec import CondaPackages


def read(*dependencies: object) -> CondaEnvironment:
    problems = Problems()
    found = read_conda({"dependencies": list(dependencies)}, "env", problems, folder=Path())
    problems.check()
    return found


def fault(*dependencies: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(*dependencies)
    return str(caught.value)


@pytest.mark.parametrize(
    ("entry", "version"),
    [
        ("python=3.10", "3.10"),
        ("python=3.10.18", "3.10"),
        ("python==3.11.4", "3.11"),
        ("python 3.12", "3.12"),
        ("python=3.10.*", "3.10"),
        ("python=3.10.4=h12debd9_0", "3.10"),
        ("conda-forge::python=3.10", "3.10"),
        ("python=3.6.2", "3.6"),
        ("python>=3.9,<3.11", "3.10"),
        ("python >=3.9, <=3.11", "3.11"),
        ("python[version='>=3.9,<3.12']", "3.11"),
        ("python>=3.12", "3.13"),
        ("python>=3.8", None),
        ("python=3", None),
        ("python", None),
    ],
)
def test_python_version_is_taken_from_its_package(entry: str, version: str | None) -> None:
    assert read(entry).python_version == version


def test_python_version_that_cannot_be_is_a_problem() -> None:
    assert "env: dependencies[0]: no Python version fits this" in fault("python>=3.20")


@pytest.mark.parametrize("entry", ["pip", "pip=23.1", "setuptools<70", "wheel"])
def test_installers_are_ignored(entry: str) -> None:
    assert read(entry) == CondaEnvironment()


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("numpy", "numpy"),
        ("numpy=1.23", "numpy==1.23.*"),
        ("numpy=1.23.*", "numpy==1.23.*"),
        ("numpy==1.23.4", "numpy==1.23.4"),
        ("numpy 1.23", "numpy==1.23"),
        ("numpy=1.23.4=py310_0", "numpy==1.23.4"),
        ("numpy>=1.20,<2", "numpy>=1.20,<2"),
        ("conda-forge::scikit-learn", "scikit-learn"),
        ("pytorch=2.1", "torch==2.1.*"),
        ("opencv", "opencv-python"),
    ],
)
def test_conda_package_is_conda_s_and_its_pip_line_is_told(entry: str, line: str) -> None:
    name = entry.rpartition("::")[2].split("=")[0].split(">")[0].split()[0]
    found = read("python=3.11", entry, {"pip": ["pandas"]})
    assert found.packages == CondaPackages(("python=3.11", entry))
    assert found.requirements == ("pandas",)
    assert found.notes == (
        f"conda installs {name}, with a Python of its own; "
        f'where pip has them too, no conda is needed: {{"pip": ["{line}"]}}',
    )


def test_packages_that_pip_has_not_are_left_out_of_the_pip_lines() -> None:
    (note,) = read("numpy", "cudatoolkit=11.8", {"pip": ["pandas"]}, "pytorch").notes
    assert note.startswith("conda installs numpy, cudatoolkit, pytorch, ")
    assert note.endswith('{"pip": ["numpy", "torch"]}')


def test_python_and_pip_alone_need_no_conda() -> None:
    found = read("python=3.11", "pip", "setuptools<70", {"pip": ["numpy"]})
    assert (found.packages, found.notes) == (None, ())


def test_channels_are_kept_in_order_and_folders_made_absolute(folder: Path) -> None:
    problems = Problems()
    data = {"channels": ["conda-forge", "./mine", "https://h.example/c"], "dependencies": ["numpy"]}
    found = read_conda(data, "env", problems, folder=Path("sub"))
    problems.check()
    assert found.packages is not None
    assert found.packages.channels == ("conda-forge", f"{Path.cwd()}/sub/mine", "https://h.example/c")


@pytest.mark.parametrize("channel", ["https://me:s3cret@h.example/c", "https://h.example/t/s3cret/c"])
def test_channel_with_a_login_is_refused_without_showing_it(channel: str) -> None:
    problems = Problems()
    read_conda({"channels": [channel], "dependencies": ["numpy"]}, "env", problems, folder=Path())
    with pytest.raises(
        ConfigurationError, match=r"env: channels\[0\]: this channel carries a login"
    ) as caught:
        problems.check()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (1, "env: dependencies[0]: must be a text or an object with `pip`, not a number"),
        ({"pip": "numpy"}, "env: dependencies[0].pip: must be a list, not a text"),
        ({"pip": ["numpy", 1]}, "env: dependencies[0].pip[1]: must be a text, not a number"),
        ({"pipp": []}, "env: dependencies[0].pipp: unknown key; did you mean `pip`?"),
        ({"pip": ["nump y z"]}, "env: dependencies[0].pip[0]: `nump y z` is not a requirement"),
        ("=1.2", "env: dependencies[0]: this is not a conda package"),
    ],
)
def test_malformed_dependency_is_named_by_its_place(entry: object, what: str) -> None:
    assert what in fault(entry)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dependencies:\n- a: [1\n- b\n", "env.yml: line 2, column 6: not valid YAML"),
        ("dependencies:\n\t- a\n", "env.yml: line 2, column 1: not valid YAML"),
        ("- a\n", "env.yml: must be a conda environment, not a list; begin with `dependencies:`"),
        ("", "env.yml: must be a conda environment, not null"),
        ("1: 2\n", "env.yml: must be a conda environment"),
        ("dependences: []\n", "env.yml: dependences: unknown key; did you mean `dependencies`?"),
        (
            "variables: {A: b}\n",
            "env.yml: variables: unknown key; put them under `environment.environmentVariables`",
        ),
        ("x: !!python/object/apply:os.system [true]\n", "env.yml: line 1, column 4: not valid YAML"),
        ("name: &a [*a]\ndependencies: 1\n", "env.yml: dependencies: must be a list, not a number"),
    ],
)
def test_faulty_conda_file_is_reported_with_its_line(folder: Path, text: str, message: str) -> None:
    (folder / "env.yml").write_text(text)
    problems = Problems()
    read_conda_file(Path("env.yml"), problems)
    with pytest.raises(ConfigurationError) as caught:
        problems.check()
    assert message in str(caught.value)


def test_missing_conda_file_gets_a_suggestion(folder: Path) -> None:
    (folder / "environment.yml").touch()
    problems = Problems()
    read_conda_file(Path("enviroment.yml"), problems)
    with pytest.raises(ConfigurationError, match=r"no such file; did you mean `environment\.yml`"):
        problems.check()
