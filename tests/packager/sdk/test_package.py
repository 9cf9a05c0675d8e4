"""`package` and its like without an Engine: checks, records, contexts, failures; the image itself is test_sample's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from plain_base import OWN_PYTHON, write_base

from fnpack import (
    BLOB_TRIGGER,
    HTTP_TRIGGER,
    SERVICE_BUS_QUEUE_TRIGGER,
    CondaDependencies,
    Environment,
    InferenceConfig,
    Model,
    ModelPackage,
    package,
    package_blob,
    package_http,
    package_service_bus_queue,
)
from fnpack.errors import ConfigurationError
from fnpack.exceptions import ModelNotFoundException, WebserviceException


def bindings(context: str | Path) -> list[dict[str, object]]:
    (file,) = Path(context).glob("app/*/function.json")
    return json.loads(file.read_text())["bindings"]


def test_context_holds_models_script_and_trigger(workspace, config, tmp_path, capsys) -> None:
    model = Model.register(workspace, "net", "net")
    made = package(
        workspace, [model, "model.pkl"], config, generate_dockerfile=True, functions_enabled=True,
        trigger=BLOB_TRIGGER, input_path="inbox/{name}.json", output_path="outbox/{name}",
    )  # fmt: skip
    assert made.generate_dockerfile
    made.wait_for_creation(show_output=True)
    said = capsys.readouterr().out
    assert (
        "function score-blob: blob, inbox/{name}.json -> outbox/{name}, setting TriggerConnectionString"
        in said
    )
    assert said.endswith("Package creation Succeeded\n")
    assert made.get_logs() in said
    assert made.serialize() == {"generateDockerfile": True, "state": "Succeeded", "location": made.location}
    made.save(str(tmp_path / "saved"))
    for root in (Path(made.location), tmp_path / "saved"):
        assert (root / "Dockerfile").is_file()
        assert [binding.get("path") for binding in bindings(root)] == ["inbox/{name}.json", "outbox/{name}"]
        found = {
            path.relative_to(root).as_posix() for path in root.rglob("*") if "azureml-models" in path.parts
        }
        assert {"azureml-models/net/1/net/sub/b.bin", "azureml-models/model.pkl/0/model.pkl"} <= found
    with pytest.raises(WebserviceException, match="cannot be pulled"):
        made.pull()
    with pytest.raises(WebserviceException, match="in no registry"):
        made.get_container_registry()


@pytest.mark.parametrize(
    ("make", "options", "expected"),
    [
        (package_http, {"auth_level": "admin"}, {"authLevel": "admin"}),
        (package_blob, {"input_path": "one/{x}", "output_path": "two/{x}"}, {"path": "one/{x}"}),
        (package_blob, {}, {"path": "input/{blobname}.json"}),
        (package_service_bus_queue, {"input_queue_name": "i", "output_queue_name": "o"}, {"queueName": "i"}),
        (Model.package, {}, {"authLevel": "anonymous"}),
        (package, {}, {"authLevel": "anonymous"}),
    ],
)
def test_every_way_to_package_ends_in_its_binding(workspace, config, make, options, expected) -> None:
    made = make(workspace, [], config, generate_dockerfile=True, **options)
    made.wait_for_creation()
    assert expected.items() <= bindings(made.location)[0].items()


def test_wrong_triggers_and_options_are_told_before_anything_is_made(workspace, config) -> None:
    def fault(**arguments: object) -> str:
        with pytest.raises(WebserviceException) as caught:
            package(workspace, [], config, functions_enabled=True, **arguments)  # type: ignore[arg-type]
        return str(caught.value)

    assert "one of http, blob, service_bus_queue" in fault(trigger="kafka")
    assert "no trigger is given" in fault()
    assert "input_path: no option of the trigger `http`" in fault(trigger=HTTP_TRIGGER, input_path="x")
    assert "nonsense" in fault(trigger=BLOB_TRIGGER, nonsense="x")
    with pytest.raises(ConfigurationError, match="--input-queue"):
        package(workspace, [], config, functions_enabled=True, trigger=SERVICE_BUS_QUEUE_TRIGGER)
    with pytest.raises(ModelNotFoundException, match="ModelNotFound"):
        package(workspace, ["none:1"], config)
    with pytest.raises(ConfigurationError, match="no entry script is given"):
        Model.package(workspace, [])
    with pytest.raises(
        ConfigurationError, match="`model.pkl` begins with b'weights', which is no known model"
    ):
        Model.package(workspace, ["model.pkl"])
    assert list(workspace.path.glob("packages/*")) == []
    assert ModelPackage.list(workspace) == []


def test_trigger_without_functions_is_not_used_and_said_so(workspace, config, capsys) -> None:
    made = package(
        workspace, [], config, generate_dockerfile=True, trigger=BLOB_TRIGGER, input_path="inbox/{y}"
    )
    assert "functions_enabled is not set" in capsys.readouterr().out
    made.wait_for_creation()
    assert bindings(made.location)[0]["type"] == "httpTrigger"


def test_models_of_a_package_are_kept_until_it_is_deleted(workspace, config) -> None:
    model = Model.register(workspace, "model.pkl", "m")
    made = package_http(workspace, ["m:1"], config, generate_dockerfile=True)
    made.wait_for_creation()
    with pytest.raises(WebserviceException, match=f"currently being used.*package {made.package_id}"):
        model.delete()
    (found,) = ModelPackage.list(workspace)
    assert (found.package_id, found.state) == (made.package_id, "Succeeded")
    found.delete()
    model.delete()
    with pytest.raises(WebserviceException, match="PackageNotFound"):
        ModelPackage(workspace, made.package_id)


def test_failure_is_told_by_waiting_and_frees_the_models(workspace, capsys) -> None:
    environment = Environment("e")
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["packaging==0.0.0.1"])
    model = Model.register(workspace, "model.pkl", "m")
    made = package_http(
        workspace, [model], InferenceConfig("score.py", environment=environment), generate_dockerfile=True
    )
    with pytest.raises(
        WebserviceException, match="(?s)Package creation Failed: .*packaging==0.0.0.1"
    ) as caught:
        made.wait_for_creation(show_output=True)
    assert caught.value.code == "FN517"
    assert made.state == "Failed"
    assert "packaging==0.0.0.1" in (made.error or "")
    assert "Error FN330" in capsys.readouterr().out
    model.delete()


ABANDON = """
import os, threading
from fnpack import Environment, InferenceConfig, Model, Workspace, package_http
from fnpack.sdk import building
building.build_context = lambda *a: os._exit(9)
environment = Environment("e")
environment.python.user_managed_dependencies = True
config = InferenceConfig("score.py", environment=environment)
package_http(Workspace.from_config(), ["m:1"], config, generate_dockerfile=True).wait_for_creation()
"""


def test_package_whose_process_was_killed_has_failed(workspace) -> None:
    model = Model.register(workspace, "model.pkl", "m")
    done = subprocess.run([sys.executable, "-c", ABANDON], check=False, timeout=60, env=dict(os.environ))
    assert done.returncode == 9
    (found,) = ModelPackage.list(workspace)
    assert (found.state, found.error) == ("Failed", "the process that made it ended before it was done")
    model.delete()


SCRIPT_THAT_DOES_NOT_WAIT = """
from fnpack import Environment, InferenceConfig, Workspace, package_http
environment = Environment("e")
environment.python.user_managed_dependencies = True
config = InferenceConfig("score.py", environment=environment)
package_http(Workspace.from_config(), [], config, generate_dockerfile=True)
"""


def test_script_that_does_not_wait_still_gets_its_package(workspace) -> None:
    subprocess.run([sys.executable, "-c", SCRIPT_THAT_DOES_NOT_WAIT], check=True, timeout=60)
    (found,) = ModelPackage.list(workspace)
    assert found.state == "Succeeded"


@pytest.mark.parametrize(("broken", "state"), [(False, "Succeeded"), (True, "Failed")])
def test_package_is_checked_and_its_log_tells_of_it(
    workspace, project, tmp_path, monkeypatch, broken, state
) -> None:
    monkeypatch.setenv("FNPACK_BASE_IMAGE", write_base(tmp_path / "base"))
    monkeypatch.setenv("FNPACK_OUTPUT", f"oci-layout:{tmp_path / 'out'}")
    monkeypatch.setenv("FNPACK_PYTHON_VERSION", OWN_PYTHON)
    (project / "sample.txt").write_text("hello")
    script = (project / "score.py").read_text()
    (project / "score.py").write_text(f"{script}\n# {uuid4()}\n")  # no check of another run's is remembered
    monkeypatch.setenv("FNPACK_SAMPLE", "sample.txt")
    if broken:
        (project / "score.py").write_text("def init():\n    raise ValueError('no')\n\n\ndef run(d): pass\n")
    environment = Environment("plain")
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=[])
    made = package_http(workspace, [], InferenceConfig("score.py", environment=environment))
    if broken:
        with pytest.raises(WebserviceException, match=r"when init\(\) runs: ValueError: no"):
            made.wait_for_creation()
        assert "Error FN420: the app fails its check" in made.get_logs()
        assert not (tmp_path / "out").exists()
    else:
        made.wait_for_creation()
        assert "check: passed, sample.txt -> hello" in made.get_logs()
    assert made.state == state
