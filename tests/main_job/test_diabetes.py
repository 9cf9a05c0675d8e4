"""The main job, with nothing left out: train, build, push, pull by digest, run, drop a blob, read the prediction."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "diabetes"


def fnpack(
    *arguments: str, cwd: Path, settings: dict[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "fnpack", *arguments],
        cwd=cwd,
        env={**os.environ, **(settings or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The example, trained."""
    folder = tmp_path_factory.mktemp("job") / "diabetes"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.pkl", "__pycache__"))
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, timeout=120, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def expected(project) -> list[float]:
    """What the model predicts in a process of its own, without fnpack."""
    code = (
        "import json, joblib; m = joblib.load('sklearn_regression_model.pkl');"
        "print(json.dumps(m.predict(json.load(open('sample_input.json'))['data']).tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, check=True, capture_output=True, text=True, timeout=60
    )
    return json.loads(done.stdout)


@pytest.fixture
def containers(azurite) -> Iterator[tuple[str, str]]:
    """An input and an output container of this test's own."""
    from azure.storage.blob import BlobServiceClient

    names = (f"input-{uuid.uuid4().hex[:8]}", f"output-{uuid.uuid4().hex[:8]}")
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        for name in names:
            service.create_container(name)
        yield names
        for name in names:
            service.delete_container(name)


def blob_options(containers: tuple[str, str]) -> list[str]:
    given, out = containers
    return [
        "--trigger",
        "blob",
        "--input-path",
        f"{given}/{{blobname}}.json",
        "--output-path",
        f"{out}/{{blobname}}_out.json",
    ]


MODEL = ["--inference-config", "inferenceconfig.json", "--model", "sklearn_regression_model.pkl"]


def test_dropped_blob_is_scored_by_a_container_of_the_pushed_image(
    project,
    expected,
    containers,
    azurite,
    registry,
    debian_base,
    docker_engine,
    run_image,
    free_port,
    wait_until,
):
    tag = f"{registry}/diabetes-blob:{uuid.uuid4().hex[:8]}"
    built = fnpack(
        "build", *MODEL, *blob_options(containers), "--host", "fnpack", "--base-image", debian_base,
        "--tag", tag, "--push", cwd=project,
    )  # fmt: skip
    reference = built.stdout.strip()
    assert reference.startswith(f"{registry}/diabetes-blob@sha256:")
    for text in ("score-blob", f"{containers[0]}/{{blobname}}.json", "TriggerConnectionString"):
        assert text in built.stderr

    docker_engine.images.pull(reference)
    container = run_image(
        reference, TriggerConnectionString=azurite.connection_string, FNPACK_PORT=str(free_port())
    )
    app = project.parent / "app-for-invoke"
    fnpack("build", *MODEL, *blob_options(containers), "--app-only", str(app), cwd=project)
    answer = fnpack(
        "invoke", str(app), "--file", "sample_input.json", "--json",
        cwd=project, settings={"TriggerConnectionString": azurite.connection_string},
    )  # fmt: skip
    facts = json.loads(answer.stdout)
    assert facts["from"] == f"{containers[1]}/sample_input_out.json"
    assert json.loads(facts["output"]) == pytest.approx(expected, rel=1e-12)

    wait_until(
        lambda: (container.reload(), container.attrs["State"]["Health"]["Status"] == "healthy")[1],
        timeout_s=40,
    )
    assert container.exec_run("id -u").output.strip() == b"10001"
    container.stop(timeout=30)
    assert container.wait()["StatusCode"] == 0
    assert azurite.connection_string.split("AccountKey=")[1].split(";")[0].encode() not in container.logs()


def test_http_and_blob_share_one_image(
    project, expected, containers, azurite, debian_base, docker_engine, run_image, free_port, wait_until
):
    import urllib.error
    import urllib.request

    built = fnpack(
        "build",
        *MODEL,
        "--trigger",
        "http",
        *blob_options(containers),
        "--base-image",
        debian_base,
        "--json",
        cwd=project,
    )
    facts = json.loads(built.stdout)
    assert [function["name"] for function in facts["functions"]] == ["score", "score-blob"]
    port = free_port()
    run_image(facts["image"], TriggerConnectionString=azurite.connection_string, FNPACK_PORT=str(port))

    def call(headers=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/score", (project / "sample_input.json").read_bytes(), headers or {}
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)

    def refused():
        try:
            call()
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            return False
        return False

    wait_until(refused, timeout_s=30)  # an image enforces keys from its first answer on
    assert call({"x-functions-key": host_key(azurite)}) == pytest.approx(expected, rel=1e-12)
    app = project.parent / "app-two"
    fnpack(
        "build", *MODEL, "--trigger", "http", *blob_options(containers), "--app-only", str(app), cwd=project
    )
    settings = {"TriggerConnectionString": azurite.connection_string}
    answer = fnpack(
        "invoke",
        str(app),
        "--function",
        "score-blob",
        "--file",
        "sample_input.json",
        cwd=project,
        settings=settings,
    )
    assert json.loads(answer.stdout) == pytest.approx(expected, rel=1e-12)


def host_key(azurite) -> str:
    """The newest host key in the app's storage, where an operator would look it up."""
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        container = service.get_container_client("azure-webjobs-secrets")
        newest = max(
            (b for b in container.list_blobs() if b.name.endswith("/host.json")),
            key=lambda b: b.last_modified,
        )
        return json.loads(container.download_blob(newest.name).readall())["functionKeys"][0]["value"]


def test_http_image_scores_without_any_storage(
    project, expected, debian_base, run_image, free_port, wait_until
):
    built = fnpack(
        "build",
        *MODEL,
        "--trigger",
        "http",
        "--auth-level",
        "anonymous",
        "--base-image",
        debian_base,
        cwd=project,
    )
    port = free_port()
    run_image(built.stdout.strip(), FNPACK_PORT=str(port))
    app = project.parent / "app-http"
    fnpack("build", *MODEL, "--trigger", "http", "--app-only", str(app), cwd=project)

    def scored():
        done = subprocess.run(
            [sys.executable, "-m", "fnpack", "invoke", str(app), "--file", "sample_input.json", "--url", f"http://127.0.0.1:{port}"],
            cwd=project, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode == 0 and json.loads(done.stdout)

    assert wait_until(scored, timeout_s=40) == pytest.approx(expected, rel=1e-12)


def test_rebuild_after_a_script_edit_reuses_every_layer_but_the_last(project, debian_base, docker_engine):
    options = [*MODEL, "--trigger", "http", "--auth-level", "anonymous", "--base-image", debian_base]
    first = docker_engine.images.get(fnpack("build", *options, cwd=project).stdout.strip())
    edited = project.parent / "edited"
    shutil.copytree(project, edited)
    (edited / "score.py").write_text((edited / "score.py").read_text() + "\n# edited\n")
    second = docker_engine.images.get(fnpack("build", *options, cwd=edited).stdout.strip())
    layers = [image.attrs["RootFS"]["Layers"] for image in (first, second)]
    assert layers[0][:-1] == layers[1][:-1]
    assert layers[0][-1] != layers[1][-1]


def test_app_directory_scores_without_an_image(project, expected, containers, azurite, start_host):
    app = project.parent / "app-run"
    fnpack(
        "build", *MODEL, "--trigger", "http", *blob_options(containers), "--app-only", str(app), cwd=project
    )
    settings = {"TriggerConnectionString": azurite.connection_string}
    host = start_host(app, settings=settings)
    for function in ("score", "score-blob"):
        answer = fnpack(
            "invoke", str(app), "--function", function, "--file", "sample_input.json", "--url", host.url,
            cwd=project, settings=settings,
        )  # fmt: skip
        assert json.loads(answer.stdout) == pytest.approx(expected, rel=1e-12)
    assert host.stop() == 0


def test_app_directory_is_the_same_for_both_hosts(project, tmp_path):
    folders = []
    for host in ("fnpack", "azure-functions"):
        target = tmp_path / host
        fnpack("build", *MODEL, "--trigger", "http", "--trigger", "blob", "--host", host, "--python-version", "3.11",
               "--platform", "linux/amd64", "--dockerfile-only", str(target), cwd=project)  # fmt: skip
        folders.append(
            {
                path.relative_to(target).as_posix(): path.read_bytes()
                for top in ("app", "azureml-models")
                for path in (target / top).rglob("*")
                if path.is_file()
            }
        )
    assert folders[0] == folders[1]
    assert "app/score-blob/function.json" in folders[0]


def test_azure_functions_image_holds_app_and_packages_where_microsofts_host_looks(
    project, expected, debian_base, docker_engine
):
    """On a stand-in base, as Microsoft's cannot be pulled everywhere: the Dockerfile builds, and its app scores."""
    built = fnpack(
        "build", *MODEL, "--trigger", "http", "--trigger", "blob", "--host", "azure-functions",
        "--base-image", debian_base, "--builder", "dockerfile", cwd=project,
    )  # fmt: skip
    assert "AzureWebJobsStorage" in built.stderr
    code = (
        "import sys, json; sys.path.insert(0, '/home/site/wwwroot'); import fnpack_scoring;"
        "print(fnpack_scoring.score(sys.argv[1].encode()).body.decode())"
    )
    sample = (project / "sample_input.json").read_text()
    answer = docker_engine.containers.run(
        built.stdout.strip(), entrypoint=["python3", "-c", code, sample], network_mode="none", remove=True
    )
    assert json.loads(answer) == pytest.approx(expected, rel=1e-12)
    config = docker_engine.images.get(built.stdout.strip()).attrs["Config"]
    assert "AzureWebJobsScriptRoot=/home/site/wwwroot" in config["Env"]
