"""Python text: what is rewritten, character by character, and what is left for a person."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.migration.files import Migrated, migrate_path
from fnpack.migration.names import INSTEAD, MODULES
from fnpack.migration.source import Finding, Piece, migrate


def rewritten(text: str) -> tuple[str, list[Finding]]:
    piece = Piece(text, ast.parse(text))
    migrate([piece])
    result = piece.result()
    ast.parse(result)
    return result, piece.moved_findings()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from azureml.core import Workspace\n", "from fnpack.core import Workspace\n"),
        ("from azureml.core.model import Model as M, InferenceConfig # c\n",
         "from fnpack.core.model import Model as M, InferenceConfig # c\n"),
        ("from azureml.core import (  # c\n    Workspace,\n    Model,  # d\n)\n",
         "from fnpack.core import (  # c\n    Workspace,\n    Model,  # d\n)\n"),
        ("from  azureml.core \\\n  import Model\n", "from  fnpack.core \\\n  import Model\n"),
        ("from azureml.core.webservice.local import LocalWebservice\n",
         "from fnpack.core.webservice import LocalWebservice\n"),
        ("from azureml.core.runconfig import DEFAULT_CPU_IMAGE\n",
         "from fnpack.core.environment import DEFAULT_CPU_IMAGE\n"),
        ("from azureml import core\n", "from fnpack import core\n"),
        ("from azureml.core import webservice as w\n", "from fnpack.core import webservice as w\n"),
        ("from azureml.core import *\n", "from fnpack.core import *\n"),
        ("import azureml.core as ac\nac.Workspace\n", "import fnpack.core as ac\nac.Workspace\n"),
        ("import os, azureml.core, sys\nprint(azureml.core.VERSION)\n",
         "import os, fnpack.core, sys\nprint(fnpack.core.VERSION)\n"),
        ("import azureml.core.model\nm = azureml.core.model.Model.list(azureml.core.Workspace.get('x'))\n",
         "import fnpack.core.model\nm = fnpack.core.model.Model.list(fnpack.core.Workspace.get('x'))\n"),
        ("def f():\n\tfrom azureml.core import Model; return Model\n",
         "def f():\n\tfrom fnpack.core import Model; return Model\n"),
        ("x = 'ä€😀'; from azureml.core import Model\n", "x = 'ä€😀'; from fnpack.core import Model\n"),
        ("from azureml.core import Model\r\nx = 1\r\n", "from fnpack.core import Model\r\nx = 1\r\n"),
        ("s = '''\x0c'''\nfrom azureml.core import Model", "s = '''\x0c'''\nfrom fnpack.core import Model"),
        ("if True:\n    from azureml.core import Model, VERSION\n",
         "if True:\n    from fnpack.core import Model, VERSION\n"),
    ],
)  # fmt: skip
def test_imports_are_rewritten_and_nothing_else(old: str, new: str) -> None:
    assert rewritten(old) == (new, [])


def test_an_import_of_both_kinds_is_divided() -> None:
    text, findings = rewritten(
        "if 1:\n    from azureml.core import Workspace, Run as R, Model  # why\nx = 1\n"
    )
    assert text == (
        "if 1:\n    from fnpack.core import Workspace, Model\n    from azureml.core import Run as R  # why\nx = 1\n"
    )
    (finding,) = findings
    assert (finding.line, finding.new_line, finding.name) == (2, 3, "azureml.core.Run")
    assert "MLflow" in finding.instead
    one_line, _ = rewritten("try: from azureml.core import Run, Model\nexcept ImportError: pass\n")
    assert one_line.startswith("try: from fnpack.core import Model; from azureml.core import Run\n")


def test_names_that_live_elsewhere_now_come_from_there() -> None:
    text, findings = rewritten("from azureml.core.runconfig import CondaDependencies, RunConfiguration\n")
    assert text == (
        "from fnpack.core.environment import CondaDependencies\nfrom azureml.core.runconfig import RunConfiguration\n"
    )
    assert [finding.name for finding in findings] == ["azureml.core.runconfig.RunConfiguration"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from azureml.core import (Model,  # c\n  Run)\n", "azureml.core"),
        ("import azureml.train.hyperdrive\n", "azureml.train.hyperdrive"),
        ("from azureml.pipeline.core import Pipeline\n", "azureml.pipeline.core.Pipeline"),
        ("import azureml.core\nazureml.core.Run.get_context()\nazureml.core.Workspace\n", "azureml.core.Run"),
        ("import importlib\nimportlib.import_module('azureml.core.model')\n", "azureml.core.model"),
        ("from azureml.core.authentication import InteractiveLoginAuthentication\n",
         "azureml.core.authentication.InteractiveLoginAuthentication"),
    ],
)  # fmt: skip
def test_what_cannot_be_rewritten_stays_and_is_listed(text: str, name: str) -> None:
    result, findings = rewritten(text)
    assert result == text
    assert name in [finding.name for finding in findings]
    assert all(finding.instead for finding in findings)


def test_members_that_are_gone_are_listed_where_they_are_used() -> None:
    text, findings = rewritten(
        "from azureml.core.webservice import AciWebservice\n"
        "config = AciWebservice.deploy_configuration(cpu_cores=1)\n"
        "run.register_model('m')\nmlflow.register_model('m')\nws.get_default_datastore()\n"
    )
    assert text.startswith("from fnpack.core.webservice import AciWebservice\n")
    assert [(finding.line, finding.name) for finding in findings] == [
        (2, "AciWebservice.deploy_configuration"),
        (3, "register_model"),
        (5, "get_default_datastore"),
    ]


def test_rewriting_twice_changes_nothing_more() -> None:
    text = "import azureml.core\nfrom azureml.core import Model, Run\nprint(azureml.core.VERSION)\n"
    once, _ = rewritten(text)
    twice, findings = rewritten(once)
    assert twice == once
    assert [finding.name for finding in findings] == ["azureml.core.Run"]


NAMES = sorted({name for _, names in MODULES.values() for name in names} | set(INSTEAD))


@given(
    module=st.sampled_from([*MODULES, "azureml.train", "azureml.core.compute"]),
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True),
    alias=st.booleans(),
    form=st.sampled_from(
        ["from {m} import {n}\n", "from {m} import ({n},\n    )\n", "def f():\n  x='é';from {m} import {n}\n"]
    ),
)  # fmt: skip
def test_every_import_still_parses_and_loses_no_name(module, names, alias, form) -> None:
    listed = [f"{name} as x{number}" if alias else name for number, name in enumerate(names)]
    result, findings = rewritten(form.format(m=module, n=", ".join(listed)))
    imports = [node for node in ast.walk(ast.parse(result)) if isinstance(node, ast.ImportFrom)]
    assert sorted(a.name for node in imports for a in node.names) == sorted(names)
    left = {a.name for node in imports if str(node.module).startswith("azureml") for a in node.names}
    assert left == {finding.name.rpartition(".")[2] for finding in findings}


@pytest.mark.parametrize(
    "text", ["def f(:\n", "\x00azureml", "print 'azureml'\n", "# coding: nonsense\nazureml\n"]
)
def test_what_is_no_python_is_told_and_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.py").write_text(text + "# azureml\n")
    (found,) = migrate_path(tmp_path)
    assert found.problem
    assert not found.changed


def test_encodings_and_byte_order_marks_stay(tmp_path: Path) -> None:
    latin = "# -*- coding: latin-1 -*-\nfrom azureml.core import Model\nx = 'é'\n".encode("latin-1")
    (tmp_path / "latin.py").write_bytes(latin)
    (tmp_path / "mark.py").write_bytes(b"\xef\xbb\xbffrom azureml.core import Model\n")
    found = {one.path.name: one for one in migrate_path(tmp_path)}
    assert found["latin.py"].new == latin.replace(b"azureml", b"fnpack")
    assert found["mark.py"].new == b"\xef\xbb\xbffrom fnpack.core import Model\n"


def test_entry_scripts_and_foreign_files_are_left_alone(tmp_path: Path) -> None:
    script = "from azureml.core.model import Model\ndef init(): pass\nasync def run(data): pass\n"
    (tmp_path / "score.py").write_text(script)
    (tmp_path / "other.py").write_text("import os\n")
    (tmp_path / "notes.txt").write_text("azureml.core")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "hook.py").write_text("from azureml.core import Model\n")
    (found,) = migrate_path(tmp_path)
    assert found == Migrated(tmp_path / "score.py", script.encode(), script.encode(), is_entry_script=True)
