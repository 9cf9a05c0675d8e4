"""Notebooks: only sources of cells change, the file keeps its form, magics and other languages stay."""

from __future__ import annotations

import json

import pytest

from fnpack.migration.notebook import migrate_notebook


def notebook(*cells: str | list[str], **cell: object) -> dict[str, object]:
    return {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": 1,
                "metadata": {},
                "outputs": [],
                "source": source,
                **cell,
            }
            for source in cells
        ],
        "metadata": {"kernelspec": {"name": "python3"}, "é": "é"},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@pytest.mark.parametrize("indent", [1, 2, 4, None])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_file_keeps_its_form(indent, ascii_only, end) -> None:
    old = notebook(["from azureml.core import Workspace\n", "ws = Workspace.from_config()  # é"], "x = 1")
    text = json.dumps(old, indent=indent, ensure_ascii=ascii_only).replace("\n", end or "\n") + end
    new, findings = migrate_notebook(text)
    assert findings == []
    assert new == text.replace("azureml", "fnpack")


def test_notebook_without_anything_to_change_stays_byte_for_byte() -> None:
    text = json.dumps(notebook("print('azureml')"), indent=3)
    assert migrate_notebook(text) == (text, [])


def test_names_are_shared_by_all_cells() -> None:
    new, findings = migrate_notebook(
        json.dumps(notebook("import azureml.core", "print(azureml.core.VERSION)"))
    )
    assert [cell["source"] for cell in json.loads(new)["cells"]] == [
        "import fnpack.core",
        "print(fnpack.core.VERSION)",
    ]
    assert findings == []
    kept, findings = migrate_notebook(
        json.dumps(notebook("import azureml.core", "azureml.core.Run.get_context()"))
    )
    assert "fnpack" not in kept
    assert {(finding.cell, finding.line) for finding in findings} == {(1, 1), (2, 1)}


def test_magics_stay_and_installs_are_listed() -> None:
    source = (
        "%%time\n!pip install azureml-sdk\n%matplotlib inline\nModel?\nfiles = !ls\n"
        "from azureml.core import Model\nif 1:\n    %pip install azureml.core\n"
    )
    new, findings = migrate_notebook(json.dumps(notebook(source)))
    assert json.loads(new)["cells"][0]["source"] == source.replace("from azureml", "from fnpack")
    assert [(finding.line, finding.instead) for finding in findings] == [
        (2, "pip install 'fnpack[all]'"),
        (8, "pip install 'fnpack[all]'"),
    ]


def test_cells_of_other_languages_and_broken_ones_are_listed() -> None:
    script = (
        "%%writefile score.py\nfrom azureml.core.model import Model\ndef init(): pass\ndef run(d): pass\n"
    )
    cells = [
        script,
        "%%bash\naz ml azureml\n",
        "from azureml.core import (",
        "%%writefile x.py\nimport azureml.core",
    ]
    text = json.dumps(notebook(*cells))
    new, findings = migrate_notebook(text)
    assert new == text
    assert [finding.cell for finding in findings] == [2, 3, 4]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"cells": 3}', '{"cells": [1, {"cell_type": "code"}]}']
)
def test_what_is_no_notebook_raises_value_error_or_stays(text) -> None:
    try:
        assert migrate_notebook(text) == (text, [])
    except ValueError:
        assert '"cell_type"' not in text
