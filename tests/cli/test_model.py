"""`fnpack model` as it is typed: what goes to stdout, what --json says, what a build then finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def model(fnpack):
    """Calls `fnpack model` and returns stdout; `model("list", code=1)` expects a failure."""

    def call(*arguments: str, code: int = 0) -> str:
        ended = fnpack("model", *arguments)
        assert ended.code == code, ended.stderr
        return ended.stdout

    return call


def test_life_of_a_model(fnpack, model, tmp_path: Path) -> None:
    assert model("list") == ""
    assert not (fnpack.home / ".fnpack").exists()  # looking makes nothing
    registered = fnpack(
        "model", "register", "model.pkl", "--name", "m", "--tag", "a=b=c", "--property", "p=1"
    )
    assert (registered.code, registered.stdout) == (0, "m:1\n")
    assert "+ register model m" in registered.stderr
    assert str(fnpack.home / ".fnpack" / "models") in registered.stderr
    assert model("register", "model.pkl") == "model:1\n"
    facts = json.loads(model("register", "model.pkl", "-n", "m", "--description", "second", "--json"))
    assert (facts["model"]["id"], facts["model"]["size_bytes"]) == ("m:2", 7)

    assert [line.split()[0] for line in model("list").splitlines()] == ["m:2", "m:1", "model:1"]
    assert [line.split()[0] for line in model("list", "--tag", "a").splitlines()] == ["m:1"]
    assert model("list", "--tag", "a=x") == ""
    listed = json.loads(model("list", "m", "--latest", "--json"))
    assert [found["id"] for found in listed["models"]] == ["m:2"]

    shown = model("show", "m:1")
    for line in ("id                    m:1", "tags a                b=c", "properties p          1"):
        assert line in shown.splitlines()
    assert json.loads(model("show", "m", "--json"))["model"]["description"] == "second"

    assert model("tag", "m:1", "x=1", "--remove", "a") == "x=1\n"
    assert model("download", "m:1", "--target-dir", str(tmp_path / "out")) == f"{tmp_path}/out/model.pkl\n"
    assert (tmp_path / "out" / "model.pkl").read_bytes() == b"weights"
    again = fnpack("model", "download", "m:1", "--target-dir", str(tmp_path / "out"))
    assert again.code == 1
    assert "Error FN514" in again.stderr
    model("download", "m:1", "--target-dir", str(tmp_path / "out"), "--exist-ok")

    built = fnpack("build", "--model", "m:1", "--model", "newest=m", "--app-only", "app", "--json")
    assert built.code == 0, built.stderr
    assert json.loads(built.stdout)["models"] == ["m:1", "newest:2"]
    assert (
        fnpack.folder / "app" / "azureml-models" / "newest" / "2" / "model.pkl"
    ).read_bytes() == b"weights"

    assert json.loads(model("delete", "m:1", "--json")) == {"schema_version": 1, "deleted": "m:1"}
    assert json.loads(model("gc", "--json")) == {
        "schema_version": 1,
        "registrations": 0,
        "files": 0,
        "bytes": 0,
    }
    assert [line.split()[0] for line in model("list").splitlines()] == ["m:2", "model:1"]


def test_shared_registry_is_named_by_option_or_variable(fnpack, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shared"
    assert fnpack("model", "register", "model.pkl", "--registry", url).stdout == "model:1\n"
    assert fnpack("model", "list").stdout == ""
    assert fnpack("model", "list", settings={"FNPACK_REGISTRY": url}).stdout.startswith("model:1 ")
    built = fnpack("build", "--model", "model:1", "--app-only", "app", settings={"FNPACK_REGISTRY": url})
    assert built.code == 0, built.stderr


def test_model_that_a_service_uses_is_deleted_by_force_only(fnpack, model) -> None:
    model("register", "model.pkl", "-n", "m")
    from fnpack.models.local import LocalRegistry
    from fnpack.models.registry import users_with

    registry = LocalRegistry(fnpack.home / ".fnpack" / "models")
    registry.change("m", 1, lambda old: users_with(old, "service:x", "service x of workspace w"))
    refused = fnpack("model", "delete", "m:1")
    assert refused.code == 1
    assert "service x of workspace w" in refused.stderr
    model("delete", "m:1", "--force")


def test_big_model_shows_its_progress_and_is_stored_once(fnpack, model) -> None:
    (fnpack.folder / "big.bin").write_bytes(bytes(30_000_000))
    for _ in range(2):
        model("register", "big.bin")
    content = (fnpack.home / ".fnpack" / "models" / "content").rglob("*")
    assert sum(path.stat().st_size for path in content if path.is_file()) == 30_000_000
