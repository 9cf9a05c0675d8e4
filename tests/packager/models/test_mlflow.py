"""Models from a real MLflow, in a process of its own: it warns, and its settings are global."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mlflow")

PROGRAM = """
import json, sys
from pathlib import Path
from mlflow import MlflowClient
from fnpack.models.references import ModelFinder

client = MlflowClient()
run = client.create_run(client.create_experiment("x"))
Path("net").mkdir()
Path("net/MLmodel").write_text("flavors: {}")
Path("net/model.bin").write_text("weights")
client.log_artifacts(run.info.run_id, "net", "net")
client.create_registered_model("diabetes risk")
for _ in range(2):
    client.create_model_version("diabetes risk", run.info.artifact_uri + "/net", run.info.run_id)
client.set_registered_model_alias("diabetes risk", "best", 1)

finder, found = ModelFinder(Path()), {}
for text in sys.argv[1:]:
    uri = text.replace("RUN", run.info.run_id)
    try:
        model = finder.find(uri)
        path = model.path
        files = sorted(p.name for p in path.rglob("*")) if path.is_dir() else [path.read_text()]
        again = finder.find(uri).path
        found[text] = [model.name, model.version, path.name, files, again == path]
    except Exception as error:
        found[text] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


def test_models_runs_and_aliases_are_taken(tmp_path: Path) -> None:
    asked = [
        "models:/diabetes risk/1", "models:/diabetes risk/latest", "models:/diabetes risk@best", "runs:/RUN/net",
        "runs:/RUN/net/model.bin", "models:/nothing/1", "models:/diabetes risk/Staging", "runs:/RUN",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *asked],
        cwd=tmp_path,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": f"file://{tmp_path}/runs",
            "MLFLOW_ALLOW_FILE_STORE": "true",
            "FNPACK_HOME": str(tmp_path / "home"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    name = "diabetes-risk"
    for text, version in ((asked[0], "1"), (asked[1], "2"), (asked[2], "1")):
        assert found[text][:3] == [name, version, name]
        assert {"MLmodel", "model.bin"} <= set(found[text][3])
        assert found[text][4]
    assert found[asked[3]] == ["net", "1", "net", ["MLmodel", "model.bin"], True]
    assert found[asked[4]] == ["model", "1", "model.bin", ["weights"], True]
    assert found[asked[5]][0] == "MlflowError"
    assert "not found" in found[asked[5]][1]
    assert "a stage is not supported" in found[asked[6]][1]
    assert "is no address of a model" in found[asked[7]][1]
