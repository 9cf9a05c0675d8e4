from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fnpack.app.directory import write_app
from fnpack.image.context import BuildContext, write_context
from fnpack.image.dockerfile import Host
from fnpack.spec import (
    AppSpec,
    BlobTrigger,
    Environment,
    HttpTrigger,
    ModelSource,
    ServiceBusQueueTrigger,
    Trigger,
)
from fnpack_triggers.errors import FnpackError

BLOB = BlobTrigger("input/{name}", "output/{name}")
LOCK = f"six==1.16.0 \\\n    --hash=sha256:{'0' * 64}\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "score.py"
    path.write_text("def init():\n    pass\n\n\ndef run(data):\n    return data\n")
    (tmp_path / "model.pkl").write_bytes(b"model")
    return path


def context(
    script: Path,
    name: str = "context",
    trigger: Trigger = BLOB,
    host: Host = "fnpack",
    identity: bool = False,
) -> BuildContext:
    root = script.parent
    spec = AppSpec(script, None, (ModelSource("m", root / "model.pkl"),), (trigger,), Environment())
    app = write_app(spec, root / f"{name}-app", lock_text=LOCK)
    return write_context(
        app.path,
        root / name,
        host=host,
        base_image="python:3.11-slim",
        python_version="3.11",
        platform="linux/amd64",
        identity=identity,
        functions=app.functions,
    )


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def digest(root: Path) -> str:
    parts = (
        f"{name} {hashlib.sha256((root / name).read_bytes()).hexdigest()}\n" for name in sorted(names(root))
    )
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def test_context_holds_all_that_the_dockerfile_names(script: Path) -> None:
    built = context(script)
    found = names(built.path)
    assert found >= {
        "Dockerfile", "README.md", "app/scoring.json", "app/score-blob/function.json", "app/requirements.txt",
        "azureml-models/m/1/model.pkl", "host/requirements.txt", "host/fnpack_host/__init__.py",
        "host/fnpack_triggers/base.py", "tools/install.py", "tools/pip.pyz",
    }  # fmt: skip
    assert not any("azureml-models" in name for name in found if name.startswith("app/"))
    assert not any("__pycache__" in name for name in found)
    assert (built.path / "Dockerfile").read_text() == built.dockerfile


def test_microsofts_host_brings_nothing_of_ours(script: Path) -> None:
    assert not any(name.startswith("host/") for name in names(context(script, host="azure-functions").path))


def test_app_is_the_same_on_both_hosts(script: Path) -> None:
    ours = context(script, "ours")
    theirs = context(script, "theirs", host="azure-functions")
    assert digest(ours.path / "app") == digest(theirs.path / "app")


def test_same_app_gives_the_same_bytes(script: Path) -> None:
    assert digest(context(script, "one").path) == digest(context(script, "two").path)


def host_lock(built: BuildContext) -> str:
    return (built.path / "host/requirements.txt").read_text()


def test_app_that_answers_http_to_anybody_goes_without_storage_libraries(script: Path) -> None:
    http, blob = host_lock(context(script, "http", HttpTrigger("anonymous"))), host_lock(context(script))
    assert "azure-storage-blob==" not in http
    assert "azure-storage-blob==" in blob
    assert all(
        f"\n{name}==" in f"\n{lock}" for lock in (http, blob) for name in ("uvicorn", "httptools", "uvloop")
    )


@pytest.mark.parametrize("level", ["function", "admin"])
def test_app_whose_callers_need_a_key_can_read_keys_from_storage(script: Path, level: str) -> None:
    assert "azure-storage-blob==" in host_lock(context(script, trigger=HttpTrigger(level)))


def test_one_function_that_asks_for_a_key_is_enough_to_need_storage(script: Path) -> None:
    spec = AppSpec(script, None, (), (HttpTrigger("anonymous"),), Environment())
    app = write_app(spec, script.parent / "app", lock_text=LOCK)
    guarded = app.functions[0]._replace(bindings=({"type": "httpTrigger", "name": "req"},))
    built = write_context(
        app.path, script.parent / "context", host="fnpack", base_image="python:3.11-slim",
        python_version="3.11", platform="linux/amd64", functions=[*app.functions, guarded],
    )  # fmt: skip
    assert "azure-storage-blob==" in host_lock(built)


def test_identity_is_in_the_host_only_where_it_is_asked_for(script: Path) -> None:
    wanted = ("azure-identity==", "msal==", "cryptography==", "azure-storage-blob==")
    plain, asked = context(script, "plain"), context(script, "asked", identity=True)
    assert not any(pin in host_lock(plain) for pin in wanted[:3])
    assert all(pin in host_lock(asked) for pin in wanted)
    assert all(
        pin in host_lock(context(script, "http", HttpTrigger("anonymous"), identity=True)) for pin in wanted
    )
    assert digest(plain.path / "app") == digest(asked.path / "app")
    assert plain.labels == asked.labels


def test_microsofts_host_needs_no_identity_of_ours(script: Path) -> None:
    theirs = context(script, "theirs", host="azure-functions", identity=True)
    assert digest(theirs.path) == digest(context(script, "again", host="azure-functions").path)


def test_service_bus_is_in_the_host_only_where_a_binding_needs_it(script: Path) -> None:
    plain = context(script, "plain")
    bus = context(script, "bus", ServiceBusQueueTrigger("in", "out"))
    assert "azure-servicebus==" not in host_lock(plain)
    assert "azure-servicebus==" in host_lock(bus)
    assert "azure-servicebus==" in host_lock(
        context(script, "both", ServiceBusQueueTrigger("in", "out"), identity=True)
    )


@pytest.mark.parametrize(
    "lock", ["host-http.txt", "host-storage.txt", "host-servicebus.txt", "host-identity.txt"]
)
def test_host_locks_have_hashes_and_name_no_index(lock: str) -> None:
    import fnpack_templates

    text = (Path(str(fnpack_templates.__file__)).parent / "image" / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    pins = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert all("==" in pin and pin.endswith("\\") for pin in pins)


def test_labels_say_which_model_and_script_are_inside(script: Path) -> None:
    labels = context(script).labels
    (model,) = json.loads(labels["io.fnpack.models"])
    assert model == {
        "name": "m", "version": "1", "sha256": hashlib.sha256(b"model").hexdigest(), "size_bytes": 5, "files": 1,
        "file": "model.pkl",
    }  # fmt: skip
    assert labels["io.fnpack.entry-script.sha256"] == hashlib.sha256(script.read_bytes()).hexdigest()


def test_labels_say_how_the_app_is_reached_and_what_runs_it(script: Path) -> None:
    built = context(script)
    labels = built.labels
    assert json.loads(labels["io.fnpack.functions"]) == [
        {
            "name": "score-blob", "trigger": "blob", "where": "input/{name} -> output/{name}",
            "settings": ["TriggerConnectionString"],
        }
    ]  # fmt: skip
    assert (labels["io.fnpack.host"], labels["io.fnpack.python"]) == ("fnpack", "3.11")
    assert 'io.fnpack.functions="[{\\"name\\":' in built.dockerfile


def test_folder_of_somebody_else_is_refused(script: Path) -> None:
    target = script.parent / "context"
    target.mkdir()
    (target / "Dockerfile").write_text("FROM mine")
    with pytest.raises(FnpackError) as caught:
        context(script)
    assert caught.value.code == "FN337"
    assert (target / "Dockerfile").read_text() == "FROM mine"


def test_readme_tells_how_to_hand_over_each_secret(script: Path) -> None:
    text = (context(script).path / "README.md").read_text()
    assert all(f"--secret id={secret},src=" in text for secret in ("pip.conf", "ca.crt", "netrc"))
    assert "--platform linux/amd64" in text
    assert "src=$HOME/.netrc" in text


def test_packed_pip_runs_and_is_the_same_each_time(script: Path) -> None:
    first, second = (context(script, name).path / "tools/pip.pyz" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert zipfile.ZipFile(first).testzip() is None
    done = subprocess.run(
        [sys.executable, "-I", str(first), "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "pip.pyz" in done.stdout
