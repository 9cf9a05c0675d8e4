from __future__ import annotations

import json
from pathlib import Path

import pytest

from fnpack.config.build import BuildSettings, complete
from fnpack.config.options import Value
from fnpack.config.project import ProjectSettings, merge, read_project
from fnpack.errors import ConfigurationError, ConfigurationSyntaxError
from fnpack.spec import (
    AppSpec,
    BlobTrigger,
    CondaPackages,
    Environment,
    HttpTrigger,
    ModelSource,
    RegistryLogin,
    ServiceBusQueueTrigger,
    ServiceBusTopicTrigger,
)


@pytest.fixture
def app(folder: Path) -> Path:
    """A folder with a script, a source directory and two models."""
    (folder / "score.py").touch()
    (folder / "src").mkdir()
    (folder / "src/main.py").touch()
    (folder / "model.pkl").touch()
    (folder / "net").mkdir()
    (folder / "net/weights.bin").touch()
    return folder


def build(folder: Path, **flags: Value) -> BuildSettings:
    values: dict[str, Value | None] = {"entry_script": "score.py", **flags}
    return complete(merge(ProjectSettings(), {}, values, cwd=folder))


def faults(folder: Path, **flags: Value) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        build(folder, **flags)
    return str(caught.value).splitlines()


def write_config(folder: Path, data: object, name: str = "ic.json") -> str:
    (folder / name).write_text(json.dumps(data))
    return name


def test_script_alone_becomes_an_http_function(app: Path) -> None:
    spec = AppSpec(app / "score.py", None, (), (HttpTrigger("function"),), Environment())
    assert build(app) == BuildSettings(spec, project=app)


def test_all_problems_of_options_and_files_come_at_once(app: Path) -> None:
    (app / "requirements.txt").write_text("numpy=1\n")
    found = faults(
        app,
        entry_script="scor.py",
        model=("modle.pkl",),
        trigger=("blobb",),
        requirements="requirements.txt",
        host="azure-function",
        platform="arm64",
        python_version="3.1",
        tag="Upper/X",
        inference_config=write_config(app, {"entryscript": "x"}),
        connection="a;b",
    )
    assert [line.partition(": ")[0] for line in found] == [
        "ic.json",
        "--entry-script",
        "--model",
        "--trigger",
        "--connection",
        "requirements.txt:1",
        "--host",
        "--platform",
        "--python-version",
        "--tag",
    ]


def test_fault_of_a_single_file_keeps_its_own_error(app: Path) -> None:
    (app / "ic.json").write_text('{"a": 1,}')
    with pytest.raises(ConfigurationSyntaxError):
        build(app, inference_config="ic.json")


# ---- script and source directory


def test_missing_script_lists_what_is_near(app: Path) -> None:
    assert faults(app, entry_script="scores.py") == [
        "--entry-script: there is no file `scores.py`; did you mean `score.py`?"
    ]
    assert faults(app, entry_script="predict.py") == [
        "--entry-script: there is no file `predict.py`; the folder holds `score.py`"
    ]


def test_missing_option_for_the_script_is_named(app: Path) -> None:
    with pytest.raises(ConfigurationError, match="--entry-script: no entry script is given"):
        complete(merge(ProjectSettings(), {}, {}, cwd=app))


def test_script_is_not_asked_for_when_the_file_that_may_name_it_is_faulty(app: Path) -> None:
    raw = merge(
        ProjectSettings(), {}, {"inference_config": write_config(app, {"entryScrip": "score.py"})}, cwd=app
    )
    with pytest.raises(ConfigurationError) as caught:
        complete(raw)
    assert str(caught.value) == "ic.json: entryScrip: unknown key; did you mean `entryScript`?"


@pytest.mark.parametrize("script", ["main.py", "src/main.py"])
def test_script_is_found_in_the_source_directory(app: Path, script: str) -> None:
    spec = build(app, entry_script=script, source_directory="src").app
    assert (spec.entry_script, spec.source_directory) == (app / "src/main.py", app / "src")


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ({"source_directory": "src"}, "`score.py` is not inside the source directory `src`"),
        ({"source_directory": "scr"}, "--source-directory: there is no folder `scr`; did you mean `src`?"),
        ({"source_directory": "score.py"}, "`score.py` is not a folder"),
        ({"entry_script": "src"}, "`src` is a folder"),
        ({"entry_script": "model.pkl"}, "`model.pkl` is not a Python file"),
        ({"entry_script": "nowhere/score.py"}, "the folder `nowhere` does not exist"),
    ],
)
def test_impossible_script_or_source_directory_is_refused(
    app: Path, flags: dict[str, Value], what: str
) -> None:
    (found,) = faults(app, **flags)
    assert what.replace("`nowhere`", f"`{app}/nowhere`") in found


def test_paths_of_a_file_are_relative_to_it_and_those_of_flags_to_the_working_directory(app: Path) -> None:
    (app / "fnpack.toml").write_text('entry_script = "score.py"\nmodel = "model.pkl"')
    other = app / "other"
    other.mkdir()
    (other / "mine.pkl").touch()
    spec = complete(merge(read_project(app), {}, {}, cwd=other)).app
    assert (spec.entry_script, spec.models) == (app / "score.py", (ModelSource("model", app / "model.pkl"),))
    spec = complete(merge(read_project(app), {}, {"model": ("mine.pkl",)}, cwd=other)).app
    assert spec.models == (ModelSource("mine", other / "mine.pkl"),)


# ---- models


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [
        ("model.pkl", "model", "model.pkl"),
        ("net", "net", "net"),
        ("mine=model.pkl", "mine", "model.pkl"),
        ("m-1.x_Y=net/", "m-1.x_Y", "net"),
        ("./lr=0.1/m.pkl", "m", "lr=0.1/m.pkl"),
        ("m=lr=0.1/m.pkl", "m", "lr=0.1/m.pkl"),
    ],
)
def test_model_is_a_path_with_or_without_a_name(app: Path, text: str, name: str, path: str) -> None:
    (app / "lr=0.1").mkdir()
    (app / "lr=0.1/m.pkl").touch()
    assert build(app, model=(text,)).app.models == (ModelSource(name, app / path),)


@pytest.mark.parametrize(
    ("models", "what"),
    [
        (("modle.pkl",), "--model: there is no model `modle.pkl`; did you mean `model.pkl`?"),
        (("a=model.pkl", "a=net"), "--model: two models are named `a`; name one of them: `OTHER=PATH`"),
        (("-a=model.pkl",), "--model: `-a` cannot be the name of a model; a model's name has 1 to 255"),
        (("a b=model.pkl",), "`a b` cannot be the name of a model"),
        (("a\nb=model.pkl",), "cannot be the name of a model"),
        (("x" * 256 + "=model.pkl",), "cannot be the name of a model"),
        (("=model.pkl",), "`` cannot be the name of a model"),
        (("a=",), "--model: `a=` has no path"),
        (("my model.pkl",), "give a name, `NAME=my model.pkl`"),
        (("empty",), "the model's folder `empty` is empty"),
    ],
)
def test_impossible_model_is_refused(app: Path, models: tuple[str, ...], what: str) -> None:
    (app / "empty").mkdir()
    (app / "my model.pkl").touch()
    assert what in "\n".join(faults(app, model=models))


# ---- triggers


def test_each_trigger_is_completed_from_its_options(app: Path) -> None:
    found = build(
        app,
        trigger=("http", "blob", "service_bus_queue", "service_bus_topic", "blob"),
        auth_level="anonymous",
        input_path="inbox/{n}.json",
        output_path="out/{n}.json",
        input_queue="q",
        output_queue="r",
        input_topic="t",
        input_subscription="s",
        output_topic="u",
        connection="MyConnection",
    )
    assert found.app.triggers == (
        HttpTrigger("anonymous"),
        BlobTrigger("inbox/{n}.json", "out/{n}.json", "MyConnection"),
        ServiceBusQueueTrigger("q", "r", None, "MyConnection"),
        ServiceBusTopicTrigger("t", "s", "u", None, "MyConnection"),
    )


def test_sbom_is_attached_or_not_or_written_too(app: Path) -> None:
    def sbom(**flags: Value) -> tuple[bool | None, Path | None]:
        found = build(app, **flags)
        return found.attach_sbom, found.sbom_file

    assert sbom() == (None, None)
    assert sbom(sbom="attach") == (True, None)
    assert sbom(sbom="none") == sbom(sbom="none", builder="dockerfile") == (False, None)
    assert sbom(sbom="out/app.json") == (None, app / "out" / "app.json")
    assert sbom(sbom="./attach") == (None, app / "attach")
    assert faults(app, sbom="atach") == [
        "--sbom: `atach` is neither `attach` nor `none`; write `./atach` for a file"
    ]
    assert "the builder `dockerfile` writes no SBOM" in faults(app, sbom="a.json", builder="dockerfile")[0]
    assert sbom(sbom="a.json", builder="docker") == (None, app / "a.json")


def test_blob_trigger_has_default_paths_and_connection(app: Path) -> None:
    expected = BlobTrigger("input/{blobname}.json", "output/{blobname}_out.json", "TriggerConnectionString")
    assert build(app, trigger=("blob",)).app.triggers == (expected,)


def test_service_bus_beside_blobs_has_a_connection_of_its_own(app: Path) -> None:
    both = {"trigger": ("blob", "service_bus_queue"), "input_queue": "q", "output_queue": "r"}

    def connections(**options) -> list[str]:
        found = build(app, **{**both, **options}).app.triggers
        return [one.connection for one in found if not isinstance(one, HttpTrigger)]

    assert connections() == ["TriggerConnectionString", "ServiceBusConnection"]
    assert connections(service_bus_connection="Bus") == ["TriggerConnectionString", "Bus"]
    assert connections(connection="Mine") == ["Mine", "Mine"]
    assert connections(trigger=("service_bus_queue",)) == ["TriggerConnectionString"]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("blobb", "did you mean `blob`?"),
        ("HTTP", "did you mean `http`?"),
        ("service-bus-queue", "did you mean `service_bus_queue`?"),
        ("serviceBusTopic", "did you mean `service_bus_topic`?"),
        ("queue", "did you mean `service_bus_queue`?"),
        ("timer", "use `http`, `blob`, `service_bus_queue` or `service_bus_topic`"),
    ],
)
def test_unknown_trigger_gets_a_suggestion(app: Path, name: str, suggestion: str) -> None:
    assert faults(app, trigger=(name,)) == [f"--trigger: there is no trigger `{name}`; {suggestion}"]


@pytest.mark.parametrize(
    ("trigger", "option", "owners", "add"),
    [
        ("http", "input_path", "`blob`", "blob"),
        ("http", "connection", "`blob`, `service_bus_queue` or `service_bus_topic`", "blob"),
        ("blob", "auth_level", "`http`", "http"),
        ("blob", "input_queue", "`service_bus_queue`", "service_bus_queue"),
    ],
)
def test_option_of_another_trigger_is_refused(
    app: Path, trigger: str, option: str, owners: str, add: str
) -> None:
    flag = "--" + option.replace("_", "-")
    values = {"auth_level": "admin", "input_path": "a/{b}"}
    assert faults(app, trigger=(trigger,), **{option: values.get(option, "x")}) == [
        f"{flag}: this is an option of {owners}, but the trigger is `{trigger}`; "
        f"add `--trigger {add}`, or leave it out"
    ]


def test_flag_may_choose_another_trigger_than_the_file_describes(app: Path) -> None:
    (app / "fnpack.toml").write_text(
        'entry_script = "score.py"\ntrigger = "blob"\ninput_path = "in/{blobname}"'
    )
    raw = merge(read_project(app), {}, {"trigger": ("http",)}, cwd=app)
    assert complete(raw).app.triggers == (HttpTrigger(),)


QUEUE: dict[str, Value] = {"trigger": ("service_bus_queue",), "input_queue": "q", "output_queue": "r"}
TOPIC: dict[str, Value] = {
    "trigger": ("service_bus_topic",),
    "input_topic": "t",
    "input_subscription": "s",
    "output_topic": "u",
}
BLOB: dict[str, Value] = {"trigger": ("blob",)}


@pytest.mark.parametrize(
    ("base", "changes", "what"),
    [
        (
            QUEUE,
            {"input_queue": None},
            ["--input-queue: the trigger `service_bus_queue` needs it; give --input-queue"],
        ),
        (
            QUEUE,
            {"output_queue": None},
            ["--output-queue: the trigger `service_bus_queue` needs a place for its"],
        ),
        (
            QUEUE,
            {"output_topic": "t"},
            ["--output-topic: both an output queue and an output topic are given"],
        ),
        (QUEUE, {"output_queue": "Q"}, ["--output-queue: results would go to the queue that they come from"]),
        (QUEUE, {"input_queue": "a b"}, ["--input-queue: this is not the name of a queue"]),
        (QUEUE, {"input_queue": "a" * 261}, ["--input-queue: the name of a queue has 1 to 260 characters"]),
        (QUEUE, {"output_queue": "/r"}, ["--output-queue: this is not the name of a queue"]),
        (
            TOPIC,
            {"input_topic": None, "input_subscription": None},
            ["--input-topic:", "--input-subscription:"],
        ),
        (TOPIC, {"output_topic": None}, ["--output-topic: the trigger `service_bus_topic` needs a place"]),
        (TOPIC, {"output_topic": "T"}, ["--output-topic: results would go to the topic that they come from"]),
        (
            TOPIC,
            {"input_subscription": "a/b"},
            ["--input-subscription: this is not the name of a subscription"],
        ),
        (
            TOPIC,
            {"input_subscription": "a" * 51},
            ["--input-subscription: the name of a subscription has 1 to 50"],
        ),
        (BLOB, {"input_path": "input/{a"}, ["--input-path: `input/{a`: "]),
        (BLOB, {"input_path": "in{x}/{blobname}"}, ["--input-path: `in{x}/{blobname}`: the container part"]),
        (
            BLOB,
            {"input_path": "input/{n}"},
            ["--output-path (default): `output/{blobname}_out.json`: nothing is named"],
        ),
        (BLOB, {"output_path": "output"}, ["--output-path: `output`: "]),
        (BLOB, {"output_path": "output/{blobnam}"}, ["did you mean `blobname`?"]),
        (
            BLOB,
            {"output_path": "input/{blobname}_o.json"},
            ["and be scored again, without end; write the results to"],
        ),
        (
            {},
            {"auth_level": "anonymos"},
            ["--auth-level: there is no authorization level `anonymos`; did you mean"],
        ),
        ({}, {"auth_level": "key"}, ["use `anonymous`, `function` or `admin`"]),
    ],
)
def test_impossible_trigger_is_refused(
    app: Path, base: dict[str, Value], changes: dict[str, Value], what: list[str]
) -> None:
    found = faults(app, **{**base, **changes})
    assert len(found) == len(what)
    for line, start in zip(found, what, strict=True):
        assert start in line


@pytest.mark.parametrize("name", ["a", "orders/in.v1_x-y", "%QUEUE%", "in-%STAGE%", "a" * 260])
def test_name_of_a_queue_may_hold_what_service_bus_allows_and_settings(app: Path, name: str) -> None:
    (trigger,) = build(app, **{**QUEUE, "input_queue": name}).app.triggers
    assert trigger == ServiceBusQueueTrigger(name, "r")


def test_queue_may_answer_to_a_topic_and_a_topic_to_a_queue(app: Path) -> None:
    (queue,) = build(app, trigger=("service_bus_queue",), input_queue="q", output_topic="u").app.triggers
    assert queue == ServiceBusQueueTrigger("q", None, "u")
    (topic,) = build(
        app, trigger=("service_bus_topic",), input_topic="t", input_subscription="s", output_queue="r"
    ).app.triggers
    assert topic == ServiceBusTopicTrigger("t", "s", None, "r")


def test_settings_in_blob_paths_are_left_to_the_host(app: Path) -> None:
    (trigger,) = build(app, trigger=("blob",), input_path="%IN%/{n}", output_path="%OUT%/{n}").app.triggers
    assert trigger == BlobTrigger("%IN%/{n}", "%OUT%/{n}")


@pytest.mark.parametrize(
    "value",
    [
        "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=hunter2==;EndpointSuffix=core.windows.net",
        "Endpoint=sb://hunter2.servicebus.windows.net/;SharedAccessKeyName=x;SharedAccessKey=y=",
        "UseDevelopmentStorage=true;hunter2",
        "hunter2==",
        "https://hunter2.blob.core.windows.net",
    ],
)
def test_connection_string_in_place_of_a_name_is_refused_and_not_shown(app: Path, value: str) -> None:
    (found,) = faults(app, trigger=("blob",), connection=value)
    assert found.startswith(
        "--connection: this looks like a connection string, but the name of a setting is wanted"
    )
    assert "hunter2" not in found


@pytest.mark.parametrize("value", ["my connection", "1st", "a/b"])
def test_connection_that_is_no_name_is_refused(app: Path, value: str) -> None:
    assert "not the name of a setting" in faults(app, trigger=("blob",), connection=value)[0]


# ---- environment


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


def test_identity_is_passed_on_and_off_unless_asked_for(app: Path) -> None:
    assert not build(app).identity
    assert build(app, identity=True).identity


def test_tag_and_push_are_passed_on(app: Path) -> None:
    found = build(app, tag="localhost:5000/team/x:1", push=True)
    assert (found.tag, found.push) == ("localhost:5000/team/x:1", True)
