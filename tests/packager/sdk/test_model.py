"""`Model` under SDK v1's names: the getter's order, lists, changes, downloads, paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnpack import Model, ResourceConfiguration, Workspace
from fnpack.exceptions import ModelNotFoundException, UserErrorException, WebserviceException


def test_registering_says_so_and_gives_all_attributes(workspace: Workspace, capsys) -> None:
    model = Model.register(
        workspace, "model.pkl", "ridge", tags={"area": "d"}, properties={"auc": "0.9"}, description="x",
        datasets=[("training", "d:1")], model_framework=Model.Framework.SCIKITLEARN, model_framework_version="1.7",
        resource_configuration=ResourceConfiguration(cpu=1, memory_in_gb=0.5),
    )  # fmt: skip
    assert capsys.readouterr().out == "Registering model ridge\n"
    assert (model.id, model.name, model.version) == ("ridge:1", "ridge", 1)
    assert (model.tags, model.properties, model.description) == ({"area": "d"}, {"auc": "0.9"}, "x")
    assert (model.model_framework, model.model_framework_version) == ("ScikitLearn", "1.7")
    assert model.datasets == {"training": ["d:1"]}
    assert model.resource_configuration is not None
    assert model.resource_configuration.memory_in_gb == 0.5
    assert model.workspace is workspace
    assert model.created_time.tzinfo is not None
    assert set(model.serialize()) == {
        "createdTime",
        "createdBy",
        "description",
        "id",
        "mimeType",
        "name",
        "framework",
        "frameworkVersion",
        "tags",
        "properties",
        "unpack",
        "url",
        "version",
        "experimentName",
        "runId",
        "runDetails",
        "datasets",
        "resourceConfiguration",
        "sampleInputDatasetId",
        "sampleOutputDatasetId",
    }


def test_getter_takes_id_then_version_then_the_newest_that_fits(workspace: Workspace) -> None:
    for stage in ("dev", "prod", "dev"):
        Model.register(workspace, "model.pkl", "m", tags={"stage": stage}, properties={stage: "1"})
    assert Model(workspace, "m").version == 3
    assert Model(workspace, name="m", version=1).version == 1
    assert Model(workspace, name="m", version="2").version == 2  # type: ignore[arg-type, unused-ignore]
    assert Model(workspace, id="m:1").version == 1
    assert Model(workspace, id="m:1", name="other", version=9).version == 1
    assert Model(workspace, "m", tags=[["stage", "prod"]]).version == 2
    assert Model(workspace, "m", tags=["stage"], properties=["prod"]).version == 2
    with pytest.raises(WebserviceException, match="ModelNotFound"):
        Model(workspace, "m", tags=[["stage", "test"]])
    with pytest.raises(ModelNotFoundException, match="ModelNotFound") as caught:
        Model(workspace, "nothing")
    assert "ModelNotFound" in caught.value.message
    with pytest.raises(UserErrorException, match="name or id"):
        Model(workspace)
    with pytest.raises(UserErrorException, match="whole number"):
        Model(workspace, "m", version="x")


def test_list_filters_as_sdk_v1_does(workspace: Workspace) -> None:
    for name, tags in (("a", {"x": "1"}), ("a", {"x": "2"}), ("b", {"y": "1"})):
        Model.register(
            workspace, "model.pkl", name, tags=tags, model_framework="Onnx" if name == "b" else None
        )
    ids = lambda **filters: [model.id for model in Model.list(workspace, **filters)]  # noqa: E731
    assert ids() == ["a:2", "a:1", "b:1"]
    assert ids(latest=True) == ["a:2", "b:1"]
    assert ids(name="a") == ["a:2", "a:1"]
    assert ids(tags=["x"]) == ["a:2", "a:1"]
    assert ids(tags=[["x", "1"]]) == ["a:1"]
    assert ids(tags=[["x", "1"]], latest=True) == ["a:1"]
    assert ids(model_framework="Onnx") == ["b:1"]
    for wrong in ({"tags": {"x": "1"}}, {"tags": "x"}, {"tags": [["a", "b", "c"]]}, {"page_count": 19}):
        with pytest.raises(WebserviceException):
            ids(**wrong)


def test_folder_and_child_paths_keep_the_folders_name(workspace: Workspace, tmp_path: Path) -> None:
    Model.register(workspace, "net", "whole")
    Model.register(workspace, "net", "part", child_paths=["sub/b.bin"])
    for name, expected in (("whole", ["a.bin", "sub/b.bin"]), ("part", ["sub/b.bin"])):
        path = Path(Model(workspace, name).download(str(tmp_path / name)))
        assert path == tmp_path / name / "net"
        found = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file()]
        assert found == expected


def test_the_workspace_itself_is_no_part_of_a_model(workspace: Workspace, tmp_path: Path) -> None:
    Model.register(workspace, ".", "all")
    path = Path(Model.register(workspace, ".", "all").download(str(tmp_path / "out")))
    assert {file.name for file in path.iterdir()} == {"model.pkl", "net", "score.py"}


def test_existing_files_are_replaced_only_when_asked(workspace: Workspace, tmp_path: Path) -> None:
    model = Model.register(workspace, "model.pkl", "m")
    target = Path(model.download(str(tmp_path)))
    target.write_text("mine")
    with pytest.raises(WebserviceException, match="already there"):
        model.download(str(tmp_path))
    assert target.read_text() == "mine"
    model.download(str(tmp_path), exist_ok=True)
    assert target.read_text() == "weights"
    model.download(str(tmp_path), exists_ok=True)


def test_tags_change_and_properties_do_not(workspace: Workspace) -> None:
    model = Model.register(workspace, "model.pkl", "m", tags={"a": "1", "b": "1"}, properties={"p": "1"})
    model.add_tags({"a": "2", "c": "3"})
    model.remove_tags(["b", "never-there"])
    model.add_properties({"q": "1"})
    assert model.tags == Model(workspace, "m").tags == {"a": "2", "c": "3"}
    assert model.properties == {"p": "1", "q": "1"}
    with pytest.raises(WebserviceException, match="there already: p"):
        model.update_tags_properties(add_tags={"d": "1"}, add_properties={"p": "2"})
    assert Model(workspace, "m").tags == {"a": "2", "c": "3"}
    model.update(tags={"only": "1"}, description="new")
    assert (Model(workspace, "m").tags, Model(workspace, "m").description) == ({"only": "1"}, "new")
    for wrong in (["a"], {"a": 1}):
        with pytest.raises(WebserviceException):
            model.add_tags(wrong)  # type: ignore[arg-type]
    with pytest.raises(WebserviceException, match="must be a list"):
        model.remove_tags("a")


def test_a_framework_version_needs_its_framework(workspace: Workspace) -> None:
    with pytest.raises(WebserviceException, match="without a framework"):
        Model.register(workspace, "model.pkl", "m", model_framework_version="1")


def test_path_in_a_container_below_the_folder_and_of_a_workspace(
    workspace: Workspace, project: Path, monkeypatch
) -> None:
    for number in ("1", "10", "9"):
        folder = project / "root" / "azureml-models" / "m" / number
        folder.mkdir(parents=True)
        (folder / "model.pkl").write_text(number)
    monkeypatch.setenv("AML_APP_ROOT", str(project / "root"))
    assert Path(Model.get_model_path("m")).read_text() == "10"
    assert Path(Model.get_model_path("m", version=9)).read_text() == "9"
    assert Model.get_model_path("net") == "net"
    with pytest.raises(ModelNotFoundException, match="ModelNotFound"):
        Model.get_model_path("other")
    with pytest.raises(UserErrorException, match="whole number"):
        Model.get_model_path("m", version="9")  # type: ignore[arg-type]
    Model.register(workspace, "model.pkl", "other")
    path = Model.get_model_path("other", _workspace=workspace)
    assert path == str(Path("azureml-models/other/1/model.pkl"))
    assert Path(path).read_text() == "weights"
    assert Model.get_model_path("other", version=1, _workspace=workspace) == path
