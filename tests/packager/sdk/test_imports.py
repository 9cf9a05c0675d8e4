"""What users import: lazily, typed, and under SDK v1's module names."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import fnpack
from fnpack.migration.names import MODULES


def test_every_name_of_the_package_is_there_and_documented() -> None:
    assert set(fnpack._MODULES) == set(fnpack.__all__)
    for name in fnpack.__all__:
        assert getattr(fnpack, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        fnpack.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_imports_no_sdk() -> None:
    code = (
        "import sys, fnpack\nassert not [m for m in sys.modules if m.startswith('fnpack.')], sys.modules\n"
        "from fnpack import Workspace, Model\n"
        "heavy = ('docker', 'azure', 'fsspec', 'mlflow', 'yaml', 'requests', 'numpy')\n"
        "assert not [m for m in heavy if m in sys.modules]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize("old", MODULES)
def test_modules_are_sdk_v1s_with_another_first_word(old: str) -> None:
    new, names = MODULES[old]
    module = importlib.import_module(new)
    for name in names:
        assert name in module.__all__


USER = """\
from fnpack.contrib.functions import BLOB_TRIGGER, package
from fnpack.core import Environment, Workspace
from fnpack.core.conda_dependencies import CondaDependencies
from fnpack.core.model import InferenceConfig, Model
from fnpack.core.webservice import LocalWebservice, Webservice
import fnpack

ws: fnpack.Workspace = Workspace.from_config()
model = Model.register(ws, "model.pkl", "m", tags={"a": "b"})
version: int = model.version
environment = Environment("e")
environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["numpy"])
environment.docker.base_image = "x"
config = InferenceConfig("score.py", environment=environment)
made = package(ws, [model, "m:1"], config, functions_enabled=True, trigger=BLOB_TRIGGER, input_path="a/{b}")
location: str = made.location
service = Model.deploy(ws, "svc", [model], config, LocalWebservice.deploy_configuration(port=1))
found: LocalWebservice = Webservice(ws, "svc")
uri: str | None = found.scoring_uri
latest: list[Model] = Model.list(ws, tags=["a", ["b", "c"]], latest=True)
reveal_type(ws.models)
ws.no_such_thing
package(ws, [model], config, input_path=3)
"""


def test_users_get_types_and_mistakes_are_found(tmp_path: Path, root_of_sources: list[str]) -> None:
    (tmp_path / "user.py").write_text(USER)
    document = (Path(root_of_sources[0]).parent / "docs" / "sdk.md").read_text("utf-8")
    (tmp_path / "document.py").write_text(document.partition("```python\n")[2].partition("```")[0])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--python-version",
            "3.10",
            "--cache-dir",
            str(tmp_path),
            "user.py",
            "document.py",
        ],
        cwd=tmp_path,
        env={"MYPYPATH": ":".join(root_of_sources), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("user.py", "document.py"))]
    assert [line.partition(": ")[0] + line[line.rfind("[") :] for line in lines if ": error:" in line] == [
        "user.py:22[attr-defined]",
        "user.py:23[arg-type]",
    ], done.stdout + done.stderr
    assert any("fnpack.sdk.model.Model]" in line for line in lines if "note: Revealed" in line)


@pytest.fixture
def root_of_sources() -> list[str]:
    root = Path(__file__).parents[3]
    return [str(root / name) for name in ("packager", "function_host", "triggers", "templates")]
