from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fnpack.image.dockerfile import (
    DockerfileValueError,
    Host,
    ImageSpec,
    UnsupportedPython,
    default_base_image,
    dockerfile,
)

GOLDEN = Path(__file__).parent / "golden"
SPEC = ImageSpec(
    host="fnpack",
    base_image="python:3.11-slim",
    python_version="3.11",
    models=("diabetes",),
    labels={"io.fnpack.version": "0.1.0", "org.opencontainers.image.title": "score"},
)


@pytest.mark.parametrize("host", ["fnpack", "azure-functions"])
def test_dockerfile_is_the_kept_one(host: Host) -> None:
    base = default_base_image(host, "3.11")
    assert (
        dockerfile(replace(SPEC, host=host, base_image=base)) == (GOLDEN / f"Dockerfile.{host}").read_text()
    )


def test_nothing_is_installed_where_the_base_holds_everything() -> None:
    text = dockerfile(replace(SPEC, install_dependencies=False, models=()))
    assert "AS dependencies" not in text
    assert "site-packages" not in text
    azure = dockerfile(replace(SPEC, host="azure-functions", install_dependencies=False))
    assert "RUN" not in azure


def test_local_packages_are_mounted_and_not_copied() -> None:
    text = dockerfile(replace(SPEC, has_wheels=True))
    assert "--mount=type=bind,source=wheels,target=/tmp/wheels" in text
    assert "COPY wheels" not in text


def test_many_models_share_one_layer() -> None:
    text = dockerfile(replace(SPEC, models=tuple(f"m{number}" for number in range(100))))
    assert text.count("azureml-models /home") == 1
    assert text.count("COPY") < 10


@pytest.mark.parametrize("host", ["fnpack", "azure-functions"])
def test_app_is_the_last_layer_and_models_come_before(host: Host) -> None:
    copies = [line for line in dockerfile(replace(SPEC, host=host)).splitlines() if line.startswith("COPY")]
    assert copies[-1] == "COPY app /home/site/wwwroot"
    assert copies[-2] == "COPY azureml-models/diabetes /home/site/wwwroot/azureml-models/diabetes"


@pytest.mark.parametrize(
    "change",
    [
        {"base_image": "python\nRUN true"},
        {"base_image": "python AS x"},
        {"base_image": "--platform=x"},
        {"base_image": "$SECRET"},
        {"base_image": "python:3\n"},
        {"python_version": '3.11"]'},
        {"models": ("a b",)},
        {"models": ("..",)},
        {"models": ("a\n",)},
        {"labels": {"a b": "x"}},
        {"labels": {"a": "x\ny"}},
    ],
)
def test_no_value_can_leave_its_line(change: dict[str, object]) -> None:
    with pytest.raises(DockerfileValueError) as caught:
        dockerfile(replace(SPEC, **change))  # type: ignore[arg-type]
    assert caught.value.code == "FN340"
    assert "\n" not in str(caught.value)


def test_label_keeps_quotes_and_dollars_as_they_are() -> None:
    text = dockerfile(replace(SPEC, labels={"a": 'x"$HOME\\'}))
    assert r'LABEL a="x\"\$HOME\\"' in text


def test_default_base_is_that_of_the_host_and_the_python() -> None:
    assert default_base_image("azure-functions", "3.13").endswith("4-python3.13")
    assert default_base_image("fnpack", "3.13") == "python:3.13-slim"
    with pytest.raises(UnsupportedPython) as caught:
        default_base_image("azure-functions", "three")
    assert caught.value.code == "FN341"
