"""`InferenceConfig` in its newer and older form: what is checked at once, and what a build gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fnpack import CondaDependencies, ContainerRegistry, Environment, InferenceConfig
from fnpack.errors import ConfigurationError
from fnpack.exceptions import UserErrorException
from fnpack.sdk.inference_config import build_settings


def test_what_cannot_be_used_is_told_at_construction(project: Path) -> None:
    (project / "broken.py").write_text("def init(:\n")
    (project / "empty.py").write_text("")
    (project / "not-a-name.py").write_text("def init(): pass\ndef run(d): pass\n")
    for script, text in (
        ("none.py", "there is no entry script"),
        ("broken.py", "broken.py:1"),
        ("empty.py", "defines no `init` and `run`"),
        ("not-a-name.py", "is not a Python name"),
    ):
        with pytest.raises(UserErrorException, match=text):
            InferenceConfig(script, environment=Environment("e"))
    with pytest.raises(UserErrorException, match="no source directory"):
        InferenceConfig("score.py", source_directory="nowhere", environment=Environment("e"))


def test_new_form_becomes_the_settings_of_a_build(project: Path, tmp_path: Path) -> None:
    environment = Environment("e")
    environment.python.conda_dependencies = CondaDependencies.create(
        pip_packages=["azureml-defaults", "numpy"], python_version="3.12"
    )
    environment.environment_variables["KEY"] = "value"
    environment.docker.base_image = "base:1"
    environment.docker.base_image_registry = ContainerRegistry("registry.example", "me", "c2VzYW1l")
    environment.spark.precache_packages = False
    config = InferenceConfig("score.py", environment=environment)
    file = config._write(tmp_path)
    assert "c2VzYW1l" not in file.read_text()
    login = environment.docker.base_image_registry
    settings = build_settings(file, (), {"trigger": ("http",)}, login)
    app = settings.app
    assert (app.entry_script, app.source_directory) == (project / "score.py", None)
    assert app.environment.requirements == ("numpy",)
    assert dict(app.environment.variables) == {"KEY": "value"}
    assert (settings.python_version, settings.base_image) == ("3.12", "registry.example/base:1")
    assert app.environment.base_image_registry is not None
    assert app.environment.base_image_registry.password == "c2VzYW1l"


def test_old_form_takes_paths_relative_to_the_source_directory(project: Path, tmp_path: Path) -> None:
    (project / "src" / "x").mkdir(parents=True)
    (project / "src" / "x" / "score.py").write_text((project / "score.py").read_text())
    (project / "src" / "env.yml").write_text("dependencies: [python=3.11, {pip: [numpy]}]\n")
    with pytest.warns(DeprecationWarning, match="the older form"):
        config = InferenceConfig(
            entry_script="x/score.py",
            runtime="python",
            conda_file="env.yml",
            source_directory="src",
            base_image="b:1",
        )
    settings = build_settings(config._write(tmp_path), (), {})
    assert settings.app.source_directory == project / "src"
    assert settings.app.entry_script == project / "src" / "x" / "score.py"
    assert settings.app.environment.requirements == ("numpy",)
    assert (settings.python_version, settings.base_image) == ("3.11", "b:1")
    assert config.environment.inferencing_stack_version == "latest"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"runtime": "spark-py"}, "the runtime `spark-py`"),
        ({"extra_docker_file_steps": "x"}, "extra_docker_file_steps are not run"),
        ({"enable_gpu": True}, "enable_gpu"),
        ({"cuda_version": "10.0"}, "cuda_version"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*the older form:DeprecationWarning")
def test_old_arguments_that_cannot_be_honoured_say_what_to_use(arguments, text) -> None:
    with pytest.raises(UserErrorException, match=text) as caught:
        InferenceConfig("score.py", **arguments)
    assert caught.value.hint


def test_old_and_new_form_exclude_each_other() -> None:
    with pytest.raises(UserErrorException, match="runtime, conda_file and environment exclude each other"):
        InferenceConfig("score.py", runtime="python", conda_file="x", environment=Environment("e"))


def test_what_a_build_cannot_honour_is_told_all_at_once(tmp_path: Path) -> None:
    environment = Environment("e")
    environment.python.conda_dependencies = CondaDependencies.create(
        pip_packages=["numpy=1"], pip_indexurl="https://x/y"
    )
    environment.docker.base_dockerfile = "FROM x\n"
    environment.python.base_conda_environment = "base"
    environment.spark.packages = [{"group": "g"}]
    environment.r = {"rVersion": "4"}
    config = InferenceConfig("score.py", environment=environment)
    with pytest.raises(ConfigurationError) as caught:
        build_settings(config._write(tmp_path), (), {})
    told = str(caught.value)
    for part in (
        "--index-url",
        "numpy=1",
        "baseDockerfile",
        "baseCondaEnvironment",
        "spark.packages",
        "r.rVersion",
    ):
        assert part in told
    assert len(caught.value.problems) == 6


def test_environment_may_choose_host_and_base_image_but_no_trigger(
    tmp_path: Path, config, monkeypatch
) -> None:
    for name, value in {
        "HOST": "azure-functions", "PYTHON_VERSION": "3.11", "TRIGGER": "blob", "MODEL": "nowhere.pkl", "TAG": "x:1",
        "CONNECTION": "Storage",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"FNPACK_{name}", value)
    settings = build_settings(config._write(tmp_path), (), {"trigger": ("http",)})
    assert (settings.host, settings.python_version, settings.tag) == ("azure-functions", "3.11", None)
    assert [type(trigger).__name__ for trigger in settings.app.triggers] == ["HttpTrigger"]
    blob = build_settings(config._write(tmp_path), (), {"trigger": ("blob",), "host": "fnpack"})
    assert (blob.host, blob.app.triggers[0].connection) == ("fnpack", "Storage")  # type: ignore[union-attr]


def test_written_configuration_is_one_that_the_command_line_takes(tmp_path: Path, config) -> None:
    data = json.loads(config._write(tmp_path).read_text())
    assert set(data) == {"entryScript", "sourceDirectory", "environment"}
