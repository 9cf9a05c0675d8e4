"""`LocalWebservice`: a real host in a process of its own, through all states of its life."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from fnpack import InferenceConfig, LocalWebservice, Model, Webservice, Workspace
from fnpack.core.webservice import (
    AciWebservice,
    AksEndpoint,
    AksWebservice,
    LocalWebserviceDeploymentConfiguration,
)
from fnpack.errors import ConfigurationError
from fnpack.exceptions import UserErrorException, WebserviceException
from fnpack.sdk.not_carried import NotCarriedOver

SCRIPT = """
import json
import os
from azureml.core.model import Model


def init():
    global weights
    print("loading the model")
    with open(Model.get_model_path("m")) as file:
        weights = file.read()


def run(data):
    if data == "fail":
        raise ValueError("the cause")
    if data == "text":
        return "plain text"
    return {"weights": weights, "given": data, "key": os.environ.get("KEY"), "root": os.environ["AML_APP_ROOT"]}
"""


def deploy(
    workspace: Workspace, config: InferenceConfig, models=(), name: str = "svc", **more
) -> LocalWebservice:
    return Model.deploy(workspace, name, list(models), config, LocalWebservice.deploy_configuration(), **more)


@pytest.fixture
def model(workspace: Workspace) -> Model:
    return Model.register(workspace, "model.pkl", "m")


@pytest.fixture
def scoring(project: Path, config: InferenceConfig) -> InferenceConfig:
    (project / "score.py").write_text(SCRIPT)
    config.environment.environment_variables["KEY"] = "value"
    return config


def test_life_of_a_service(workspace, project, scoring, model, capsys, monkeypatch) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", "/somewhere/else")  # of another scoring container
    service = deploy(workspace, scoring, [model])
    assert service.state in ("deploying", "running")
    service.wait_for_deployment(show_output=True)
    assert f"Local webservice is running at http://localhost:{service.port}" in capsys.readouterr().out
    assert service.state == "running"

    answer = service.run('{"x": 1}')
    assert isinstance(answer, dict)
    assert (answer["weights"], answer["given"], answer["key"]) == ("weights", '{"x": 1}', "value")
    assert answer["root"].startswith(str(workspace.path))
    assert service.run("text") == "plain text"
    assert service.scoring_uri == f"http://localhost:{service.port}/score"
    with urllib.request.urlopen(service.scoring_uri, data=b"bytes") as response:
        assert json.load(response)["given"] == "bytes"
    with urllib.request.urlopen(str(service.swagger_uri)) as response:
        assert "/score" in json.load(response)["paths"]
    with pytest.raises(WebserviceException, match="bad response from service. Code: 500") as caught:
        service.run("fail")
    assert caught.value.status_code == 500
    logs = service.get_logs()
    assert "loading the model" in logs
    assert "the cause" in logs
    assert len(service.get_logs(num_lines=2).splitlines()) == 2


def test_service_is_found_changed_and_removed(workspace, project, scoring, model) -> None:
    service = deploy(workspace, scoring, [model], show_output=True)
    with pytest.raises(WebserviceException, match="currently being used.*service svc"):
        model.delete()
    again = Webservice(workspace, "svc")
    assert isinstance(again, LocalWebservice)
    assert (again.state, again.port, [m.id for m in again.models]) == ("running", service.port, ["m:1"])
    assert [found.name for found in Webservice.list(workspace, model_name="m")] == ["svc"]
    assert Webservice.list(workspace, model_id="m:2") == []
    assert Webservice.list(workspace, compute_type="AKS") == []
    with pytest.raises(WebserviceException, match="there already"):
        deploy(workspace, scoring, [model])

    port = service.port
    (project / "score.py").write_text("def init():\n    pass\n\n\ndef run(data):\n    return 'reloaded'\n")
    service.reload(wait=True)
    assert (service.run("x"), service.port) == ("reloaded", port)
    (project / "model.pkl").write_text("better")
    (project / "score.py").write_text(SCRIPT)
    second = Model.register(workspace, "model.pkl", "m")
    service.update(models=[second], wait=True)
    answer = service.run("x")
    assert isinstance(answer, dict)
    assert (answer["weights"], service.port) == ("better", port)
    model.delete()  # no longer used
    with pytest.raises(UserErrorException, match="nothing to update"):
        service.update()

    service.delete()
    assert service.state == "deleted"
    for method in (service.run, service.update):
        with pytest.raises(
            WebserviceException, match=rf"Cannot call {method.__name__}\(\) when service is deleted"
        ):
            method("x")
    second.delete()
    assert Webservice.list(workspace) == []
    with pytest.raises(WebserviceException, match="WebserviceNotFound"):
        Webservice(workspace, "svc")


def test_service_outlives_the_script_that_started_it(workspace, project) -> None:
    program = (
        "from fnpack import *\n"
        "from fnpack import Environment\n"
        "e = Environment('e'); e.python.user_managed_dependencies = True\n"
        "s = Model.deploy(Workspace.from_config(), 'svc', [], InferenceConfig('score.py', environment=e),"
        " LocalWebservice.deploy_configuration())\n"
        "s.wait_for_deployment()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    service = LocalWebservice(workspace, "svc")
    assert service.run("[1]") == "[1]"  # the script's text stays text
    service.delete()
    assert service.state == "deleted"


def test_script_that_fails_to_start_is_failed_with_its_log(workspace, project, config) -> None:
    (project / "score.py").write_text(
        "def init():\n    raise RuntimeError('no weights')\n\n\ndef run(d):\n    pass\n"
    )
    service = deploy(workspace, config)
    with pytest.raises(WebserviceException, match="(?s)did not start:.*no weights"):
        service.wait_for_deployment()
    assert service.state == "failed"
    assert "no weights" in service.get_logs()
    assert "no weights" in (service.error or "")
    with pytest.raises(WebserviceException, match=r"Cannot call run\(\) when service is failed"):
        service.run("x")
    (project / "score.py").write_text("def init():\n    pass\n\n\ndef run(d):\n    return 'mended'\n")
    service.reload(wait=True)
    assert service.run("x") == "mended"


def test_host_that_is_killed_has_failed_and_starts_again(workspace, config, wait_until) -> None:
    service = deploy(workspace, config)
    service.wait_for_deployment()
    os.kill(int((workspace.path / "services" / "svc" / "pid").read_text()), signal.SIGKILL)
    wait_until(lambda: service.state == "failed")
    service.reload(wait=True)
    assert service.state == "running"


def test_service_that_is_deleted_while_it_starts_leaves_no_process(workspace, config, monkeypatch) -> None:
    def slow(command: list[str], **options) -> subprocess.Popen[bytes]:
        shell, flag, script, *rest = command
        return original([shell, flag, f"sleep 0.3; {script}", *rest], **options)

    original = subprocess.Popen
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", slow)  # a machine that has other things to do
        deploy(workspace, config).delete()
    folder = f"{workspace.path}/services/"
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert folder not in listed.stdout


def test_what_cannot_be_deployed_leaves_nothing(workspace, config, model) -> None:
    local = LocalWebservice.deploy_configuration()
    for name in ("ab", "Abc", "a_b", "1ab", "abc-", "a" * 33):
        with pytest.raises(UserErrorException, match="cannot be the name of a service"):
            Model.deploy(workspace, name, [], config, local)
    with pytest.raises(ConfigurationError, match="no entry script is given, and `.*` begins with"):
        Model.deploy(workspace, "svc", [model], None, local)
    with pytest.raises(WebserviceException, match="ModelNotFound"):
        Model.deploy(workspace, "svc", ["none:3"], config, local)
    with pytest.raises(NotCarriedOver, match="in SDK v1: ACI"):
        Model.deploy(workspace, "svc", [model], config)
    with pytest.raises(NotCarriedOver, match="deployment target"):
        Model.deploy(workspace, "svc", [model], config, local, deployment_target="aks")
    with pytest.raises(UserErrorException, match="deployment_config is a dict"):
        Model.deploy(workspace, "svc", [model], config, {"port": 1})  # type: ignore[arg-type]
    assert Webservice.list(workspace) == []
    model.delete()


def test_overwrite_replaces_and_local_models_are_version_0(workspace, project, config) -> None:
    (project / "score.py").write_text(
        "import os\n\n\ndef init():\n    pass\n\n\ndef run(d):\n    return os.environ['AZUREML_MODEL_DIR']\n"
    )
    deploy(workspace, config)
    service = deploy(workspace, config, ["model.pkl"], overwrite=True)
    service.wait_for_deployment()
    assert str(service.run("x")).endswith("azureml-models/model.pkl/0")


def test_port_can_be_chosen(workspace, config, free_port, project) -> None:
    port = free_port()
    (project / "deploymentconfig.json").write_text(json.dumps({"computeType": "Local", "port": port}))
    chosen = LocalWebserviceDeploymentConfiguration.from_file("deploymentconfig.json")
    service = Model.deploy(workspace, "svc", [], config, chosen)
    service.wait_for_deployment()
    assert service.port == port
    for wrong in (0, 70000, True):
        with pytest.raises(UserErrorException, match="port is"):
            LocalWebservice.deploy_configuration(port=wrong)
    (project / "deploymentconfig.json").write_text('{"computeType": "AKS", "numReplicas": 2}')
    with pytest.raises(ConfigurationError, match="replicas in the Kubernetes manifest"):
        LocalWebserviceDeploymentConfiguration.from_file("deploymentconfig.json")


@pytest.mark.parametrize("kind", [AciWebservice, AksWebservice, AksEndpoint])
def test_services_of_a_cloud_say_what_to_use_instead(workspace, kind) -> None:
    for call in (lambda: kind.deploy_configuration(cpu_cores=1), lambda: kind(workspace, "svc")):
        with pytest.raises(NotCarriedOver, match=kind.__name__) as caught:
            call()
        assert "package_http" in (caught.value.hint or "")


def test_keys_and_tokens_are_not_implemented(workspace, config) -> None:
    service = deploy(workspace, config)
    for call in (service.get_keys, service.get_token, lambda: service.regen_key("Primary")):
        with pytest.raises(NotImplementedError):
            call()
    with pytest.raises(NotCarriedOver):
        service.deploy_to_cloud()
