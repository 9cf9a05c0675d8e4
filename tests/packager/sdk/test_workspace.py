"""Which workspace counts, and what an Azure ML config.json means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fnpack import Model, Workspace
from fnpack.exceptions import WorkspaceException
from fnpack.sdk.not_carried import NotCarriedOver

CONFIG = {"subscription_id": "s-1", "resource_group": "rg", "workspace_name": "ml-prod"}


def test_without_anything_it_is_the_users_own(tmp_path: Path) -> None:
    found = Workspace.from_config()
    assert found.path == tmp_path / "home"
    assert Workspace.from_config().name == found.name == "default"
    assert found.location == "local"


def test_nearest_one_upwards_counts(project: Path) -> None:
    made = Workspace.create("mine", show_output=False)
    (project / "a" / "b").mkdir(parents=True)
    found = Workspace.from_config(str(project / "a" / "b"))
    assert (found.name, found.path) == ("mine", project / ".fnpack") == (made.name, made.path)
    assert (project / ".fnpack" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("place", ["config.json", ".azureml/config.json", "aml_config/config.json"])
def test_azure_ml_configuration_means_a_local_workspace_of_its_name(project: Path, place: str) -> None:
    (project / place).parent.mkdir(exist_ok=True)
    (project / place).write_text(json.dumps(CONFIG))
    for found in (Workspace.from_config(), Workspace.from_config(path=str(project / place))):
        assert (found.name, found.path) == ("ml-prod", project / ".fnpack")
        assert (found.subscription_id, found.resource_group) == ("s-1", "rg")


def test_configuration_of_something_else_is_passed_over(project: Path, tmp_path: Path) -> None:
    (project / "config.json").write_text('{"model_type": "bert"}')
    assert Workspace.from_config().path == tmp_path / "home"
    with pytest.raises(WorkspaceException, match="is no Azure ML configuration"):
        Workspace.from_config(path="config.json")


def test_written_configuration_is_found_again(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    workspace.write_config(str(tmp_path / "other"))
    assert Workspace.from_config(str(tmp_path / "other")).name == "test"


def test_existing_workspace_is_not_made_again(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceException, match="holds the workspace `test` already"):
        Workspace.create("test")
    with pytest.raises(WorkspaceException, match="holds the workspace `test` already"):
        Workspace.create("other", exist_ok=True)
    assert Workspace.create("test", exist_ok=True).path == workspace.path


def test_get_finds_by_name_on_this_machine(workspace: Workspace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for found in (Workspace.get("test", subscription_id="s"), Workspace("s", "rg", "test")):
        assert found.path == workspace.path
    with pytest.raises(WorkspaceException, match="knows no workspace `tset`") as caught:
        Workspace.get("tset")
    assert 'Workspace.create("tset")' in (caught.value.hint or "")
    Workspace.create("test", path=str(tmp_path), show_output=False)
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(WorkspaceException, match="several workspaces are named `test`"):
        Workspace.get("test")
    assert {name: len(found) for name, found in Workspace.list().items()} == {"test": 2}


def test_variable_names_a_workspace_and_a_registry(tmp_path: Path, monkeypatch, project: Path) -> None:
    monkeypatch.setenv("FNPACK_WORKSPACE", str(tmp_path / "chosen"))
    monkeypatch.setenv("FNPACK_REGISTRY", f"file://{tmp_path}/shared")
    workspace = Workspace.from_config()
    assert (workspace.name, workspace.path) == ("chosen", tmp_path / "chosen" / ".fnpack")
    Model.register(workspace, "model.pkl", "m")
    assert (tmp_path / "shared" / "models" / "m" / "1" / "000000.json").is_file()
    assert workspace.get_details()["registry"] == f"file://{tmp_path}/shared"


def test_broken_file_is_told_and_not_replaced(workspace: Workspace, project: Path) -> None:
    file = workspace.path / "workspace.json"
    for text in ("{", "[]", '{"name": 1}'):
        file.write_text(text)
        with pytest.raises(WorkspaceException, match=r"workspace\.json|no workspace in"):
            Workspace.from_config()
        assert file.read_text() == text


def test_deleted_workspace_is_gone(workspace: Workspace) -> None:
    Model.register(workspace, "model.pkl", "m")
    workspace.delete()
    assert not workspace.path.exists()
    assert Workspace.list() == {}


def test_parts_of_azure_say_what_to_use_instead(workspace: Workspace) -> None:
    with pytest.raises(
        NotCarriedOver, match=r"Workspace\.get_default_datastore is not part of fnpack"
    ) as caught:
        workspace.get_default_datastore()  # type: ignore[attr-defined]
    assert "fsspec" in (caught.value.hint or "")
    assert not hasattr(workspace, "experiments")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        workspace.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_models_and_environments_are_by_name(workspace: Workspace) -> None:
    for _ in range(2):
        Model.register(workspace, "model.pkl", "m")
    assert {name: model.version for name, model in workspace.models.items()} == {"m": 2}
    assert workspace.environments == {}
    assert workspace.webservices == {}
