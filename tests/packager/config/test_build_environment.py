from __future__ import annotations

from pathlib import Path

import pytest
from tests.packager.config.completed import build, faults, write_config

from fnpack.config.build import complete
from fnpack.config.options import Value
from fnpack.config.project import ProjectSettings, merge
from fnpack.spec import (
    CondaPackages,
    RegistryLogin,
)


def test_inference_config_gives_script_environment_and_platform(app: Path) -> None:
    data = {
        "entryScript": "main.py",
        "sourceDirectory": "src",
        "environment": {
            "python": {"condaDependencies": {"dependencies": ["python=3.12", {"pip": ["numpy"]}]}},
            "docker": {"baseImage": "base:1", "platform": {"architecture": "arm64"}},
        },
    }
    raw = merge(ProjectSettings(), {}, {"inference_config": write_config(app, data)}, cwd=app)
    found = complete(raw)
    assert (found.app.entry_script, found.app.source_directory) == (app / "src/main.py", app / "src")
    assert (found.base_image, found.platform, found.python_version) == ("base:1", "linux/arm64", "3.12")
    assert found.app.environment.requirements == ("numpy",)


def test_requirements_file_gives_the_packages(app: Path) -> None:
    (app / "requirements.txt").write_text("azureml-defaults\nnumpy\n")
    config = write_config(app, {"environment": {"environmentVariables": {"A": "b"}}})
    environment = build(app, requirements="requirements.txt", inference_config=config).app.environment
    assert environment.requirements == ("numpy",)
    assert environment.requirements_source == "requirements.txt"
    assert environment.variables == {"A": "b"}
    assert len(environment.notes) == 1


def test_python_version_option_wins_in_a_conda_environment(app: Path) -> None:
    packages = ["conda-forge::python=3.10", "python-dateutil=2", "numpy"]
    data = {"environment": {"python": {"condaDependencies": {"dependencies": packages}}}}
    found = build(app, inference_config=write_config(app, data), python_version="3.12").app.environment
    assert found.conda == CondaPackages(("python=3.12", "python-dateutil=2", "numpy"))


@pytest.mark.parametrize("python", [{"condaDependencies": {}}, {"userManagedDependencies": True}])
def test_packages_given_in_two_places_are_refused(app: Path, python: object) -> None:
    (app / "requirements.txt").touch()
    config = write_config(app, {"environment": {"python": python}})
    assert faults(app, requirements="requirements.txt", inference_config=config) == [
        "--requirements: packages are named here and in ic.json (environment.python) too; keep one of them"
    ]


def test_base_image_of_a_flag_wins_and_keeps_the_login_of_its_own_registry_only(app: Path) -> None:
    registry = {"address": "a.example", "username": "me", "password": "p"}
    config = write_config(app, {"environment": {"docker": {"baseImage": "x", "baseImageRegistry": registry}}})
    login = RegistryLogin("a.example", "me", "p")
    for image, expected in (("a.example/y", login), ("b.example/y", None)):
        found = build(app, inference_config=config, base_image=image)
        assert found.base_image == found.app.environment.base_image == image
        assert found.app.environment.base_image_registry == expected


def test_user_managed_environment_without_base_image_gets_a_note(app: Path) -> None:
    config = write_config(app, {"environment": {"python": {"userManagedDependencies": True}}})
    assert "no base image is named" in build(app, inference_config=config).app.environment.notes[0]
    assert build(app, inference_config=config, base_image="x").app.environment.notes == ()


# ---- image


@pytest.mark.parametrize(
    ("host", "version", "problem"),
    [
        ("fnpack", "3.10", None),
        ("fnpack", "3.13", None),
        (
            "fnpack",
            "3.9",
            "Python `3.9` is not possible; use `3.10`, `3.11`, `3.12` or `3.13`",
        ),
        ("azure-functions", "3.9", "Python `3.9` is not possible"),
        ("azure-functions", "3.13", None),
        ("fnpack", "3.11.4", "`3.11.4` names a patch release, which the base image chooses; write `3.11`"),
        ("fnpack", "three", "Python `three` is not possible"),
    ],
)
def test_python_versions_are_those_of_both_hosts(
    app: Path, host: str, version: str, problem: str | None
) -> None:
    if problem is None:
        assert build(app, host=host, python_version=version).python_version == version
    else:
        assert problem in faults(app, host=host, python_version=version)[0]


def test_old_python_of_the_configuration_can_be_overridden(app: Path) -> None:
    python = {"condaDependencies": {"dependencies": ["python=3.6.2"]}}
    config = write_config(app, {"environment": {"python": python}})
    (found,) = faults(app, inference_config=config)
    assert found.startswith(
        "ic.json: environment.python.condaDependencies: python: Python `3.6` is not possible"
    )
    assert found.endswith("there or with --python-version")
    settings = build(app, inference_config=config, python_version="3.11")
    assert settings.python_version == settings.app.environment.python_version == "3.11"


@pytest.mark.parametrize(
    ("host", "platform", "problem"),
    [
        ("fnpack", "linux/arm64", None),
        ("azure-functions", "linux/amd64", None),
        ("azure-functions", "linux/arm64", "Azure Functions runs images for `linux/amd64` only"),
        ("fnpack", "amd64", "did you mean `linux/amd64`?"),
        ("fnpack", "linux/aarch64", "did you mean `linux/arm64`?"),
        ("fnpack", "windows/amd64", "use `linux/amd64` or `linux/arm64`"),
    ],
)
def test_platform_is_one_that_the_host_has(app: Path, host: str, platform: str, problem: str | None) -> None:
    if problem is None:
        assert build(app, host=host, platform=platform).platform == platform
    else:
        assert problem in faults(app, host=host, platform=platform)[0]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"tag": "Name:1"}, "--tag: an image's name is lower-case"),
        ({"tag": "https://example.com/x"}, "--tag: an image's name has no `https://`"),
        ({"tag": "x@sha256:" + "0" * 64}, "--tag: a tag has no digest"),
        ({"base_image": "x y"}, "--base-image: this is not an image's name"),
        ({"push": True}, "--push: there is no name to push to"),
        ({"host": "azure"}, "--host: there is no host `azure`; use `fnpack` or `azure-functions`"),
        ({"host": "azure_functions"}, "did you mean `azure-functions`?"),
        ({"requirements": "nothing.txt"}, "nothing.txt: there is no such file"),
        ({"inference_config": "nothing.json"}, "nothing.json: there is no such file"),
    ],
)
def test_impossible_image_option_is_refused(app: Path, flags: dict[str, Value], problem: str) -> None:
    assert problem in faults(app, **flags)[0]
