"""What every registry promises, on each of them: in a folder, in shared files, in memory, in a blob container."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fnpack.exceptions import ModelNotFoundException, ModelPathNotFoundException, WebserviceException
from fnpack.models.errors import ContentDamaged, ModelArgumentError, ModelInUse
from fnpack.models.record import ModelFacts, Resources
from fnpack.models.registry import Draft, users_with, with_added
from fnpack.progress import ProgressEvent

# aiohttp's advice to the Azure SDK, which sends bytes.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.pkl"
    path.write_bytes(os.urandom(3_000_000))
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A model folder with two equal files, an empty one and an executable."""
    root = tmp_path / "net"
    (root / "sub").mkdir(parents=True)
    (root / "a.bin").write_bytes(b"same")
    (root / "sub" / "b.bin").write_bytes(b"same")
    (root / "empty").touch()
    (root / "tool").write_text("#!/bin/sh\n")
    (root / "tool").chmod(0o755)
    return root


def content(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_model_comes_back_as_it_was_registered(open_registry, weights, tmp_path) -> None:
    facts = ModelFacts(
        tags={"area": "diabetes"},
        properties={"auc": "0.9"},
        description="ridge",
        framework="ScikitLearn",
        framework_version="1.7",
        created_by="me",
        datasets=(("training", "d:1"),),
        resources=Resources(cpu=1, memory_in_gb=0.5),
    )
    made = open_registry().register(Draft("ridge", weights, facts))
    found = open_registry().get("ridge")
    assert found == made
    assert (found.id, found.entry, found.is_folder) == ("ridge:1", "model.pkl", False)
    assert found.facts == facts
    target = open_registry().fetch(found, tmp_path / "out")
    assert target == tmp_path / "out" / "model.pkl"
    assert target.read_bytes() == weights.read_bytes()
    assert content(tmp_path / "out").keys() == {"model.pkl"}


def test_folder_keeps_its_name_files_and_modes(registry, tree, tmp_path) -> None:
    record = registry.register(Draft("net", tree))
    assert record.is_folder
    out = registry.fetch(record, tmp_path / "out")
    assert out == tmp_path / "out" / "net"
    assert content(out) == content(tree)
    assert os.access(out / "tool", os.X_OK)
    assert not os.access(out / "a.bin", os.X_OK)


def test_child_paths_take_only_those_below_the_folders_name(registry, tree) -> None:
    record = registry.register(Draft("net", tree, child_paths=("sub", "a.bin")))
    assert [file.path for file in record.files] == ["net/a.bin", "net/sub/b.bin"]
    for wrong in ("nothing", "../net/a.bin"):
        with pytest.raises(ModelPathNotFoundException, match="holds no"):
            registry.register(Draft("net", tree, child_paths=(wrong,)))


def test_checkout_is_read_only_and_made_once(registry, tree) -> None:
    record = registry.register(Draft("net", tree))
    first = registry.checkout(record)
    assert content(first) == content(tree)
    assert registry.checkout(record) == first
    assert (first / "a.bin").stat().st_mode & 0o222 == 0
    out = registry.fetch(record, first.parent.parent / "editable")
    (out / "a.bin").write_bytes(b"changed")
    assert registry.checkout(record).joinpath("a.bin").read_bytes() == b"same"


def test_versions_count_up_and_are_never_given_again(open_registry, weights) -> None:
    registry = open_registry()
    assert [registry.register(Draft("m", weights)).version for _ in range(3)] == [1, 2, 3]
    assert registry.register(Draft("other", weights)).version == 1
    registry.delete("m", 3)
    assert registry.get("m").version == 2
    for version in (1, 2):
        registry.delete("m", version)
    with pytest.raises(ModelNotFoundException, match="ModelNotFound"):
        registry.get("m")
    assert open_registry().register(Draft("m", weights)).version == 4


def test_a_version_number_may_have_any_number_of_digits(registry, weights) -> None:
    for _ in range(11):
        last = registry.register(Draft("m", weights))
    assert last.version == 11
    assert registry.get("m").version == 11
    assert [record.version for record in registry.records("m")] == list(range(11, 0, -1))


def test_records_are_in_order_and_know_deletions(registry, weights) -> None:
    assert registry.records() == [] or registry.records() == ()
    for name in ("b", "a", "b"):
        registry.register(Draft(name, weights))
    assert [record.id for record in registry.records()] == ["a:1", "b:2", "b:1"]
    registry.delete("b", 1)
    assert [record.id for record in registry.records("b")] == ["b:2"]
    assert list(registry.records("none")) == []


def test_names_that_only_look_alike_are_different(registry, weights) -> None:
    for name in ("model", "model.", "model.1", "Model"):
        assert registry.register(Draft(name, weights)).version == 1
    assert registry.get("model.").name == "model."
    assert {record.name for record in registry.records()} == {"model", "model.", "model.1", "Model"}


def test_models_in_use_are_not_deleted(registry, weights, tmp_path) -> None:
    registry.register(Draft("m", weights))
    registry.change("m", 1, lambda old: users_with(old, "service:x", "service x"))
    with pytest.raises(ModelInUse, match="cannot be deleted because it is currently being used.*service x"):
        registry.delete("m", 1)
    assert registry.fetch(registry.get("m"), tmp_path / "out").exists()
    registry.change("m", 1, lambda old: users_with(old, "service:x", None))
    registry.delete("m", 1)
    registry.register(Draft("m", weights))
    registry.change("m", 2, lambda old: users_with(old, "service:x", "service x"))
    registry.delete("m", 2, force=True)
    with pytest.raises(ModelNotFoundException):
        registry.get("m")


def test_a_change_that_raises_changes_nothing(registry, weights) -> None:
    registry.register(Draft("m", weights, ModelFacts(properties={"auc": "0.9"})))

    def add(old):
        properties = with_added("properties", old.facts.properties, {"new": "1", "auc": "1"})
        return replace(old, facts=replace(old.facts, properties=properties))

    with pytest.raises(ModelArgumentError, match="there already: auc"):
        registry.change("m", 1, add)
    assert registry.get("m").facts.properties == {"auc": "0.9"}
    with pytest.raises(ModelNotFoundException):
        registry.change("m", 2, add)


def test_no_change_of_many_at_once_is_lost(open_registry, weights) -> None:
    open_registry().register(Draft("m", weights))

    def tag(key: str):
        return lambda old: replace(old, facts=replace(old.facts, tags={**old.facts.tags, key: "1"}))

    def work(writer: int) -> None:
        registry = open_registry()
        for number in range(4):
            registry.change("m", 1, tag(f"{writer}-{number}"))

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(open_registry().get("m").facts.tags) == 16


def test_every_registration_of_many_at_once_gets_a_version_of_its_own(open_registry, tmp_path) -> None:
    given: list[int] = []

    def work(writer: int) -> None:
        source = tmp_path / f"{writer}.bin"
        source.write_text(str(writer))
        registry = open_registry()
        given.extend(registry.register(Draft("m", source)).version for _ in range(4))

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 17))
    assert len(open_registry().records("m")) == 16


@pytest.mark.parametrize("name", ["", "-m", "a b", "a/b", "..", "ä", "a" * 256, "a\n"])
def test_impossible_names_are_refused_before_anything_is_written(registry, weights, name) -> None:
    with pytest.raises(ModelArgumentError, match="name"):
        registry.register(Draft(name, weights))
    assert list(registry.records()) == []


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (ModelFacts(tags=["a"]), "tags must be a dict"),  # type: ignore[arg-type]
        (ModelFacts(tags={"a": 1}), "not a text"),  # type: ignore[dict-item]
        (ModelFacts(properties={"": "x"}), "properties"),
        (ModelFacts(framework_version="1"), "without a framework"),
    ],
)
def test_facts_that_break_the_rules_are_refused(registry, weights, facts, text) -> None:
    with pytest.raises(ModelArgumentError, match=text):
        registry.register(Draft("m", weights, facts))


def test_missing_and_empty_models_are_refused(registry, tmp_path) -> None:
    (tmp_path / "hollow" / "inner").mkdir(parents=True)
    for path in (tmp_path / "nothing.pkl", tmp_path / "hollow"):
        with pytest.raises(ModelPathNotFoundException, match=path.name):
            registry.register(Draft("m", path))


def test_a_failed_registration_leaves_nothing(open_registry, tree) -> None:
    (tree / "gone").symlink_to(tree / "nowhere")
    with pytest.raises(Exception, match="leads nowhere"):
        open_registry().register(Draft("net", tree))
    (tree / "gone").unlink()
    assert open_registry().register(Draft("net", tree)).version == 1


def test_progress_ends_at_the_size_of_the_model(registry, weights) -> None:
    events: list[ProgressEvent] = []
    registry.register(Draft("m", weights), events.append)
    assert events[0].status == "started"
    assert events[-1].status == "done"
    running = [
        (event.current_bytes or 0, event.total_bytes or 0) for event in events if event.status == "running"
    ]
    assert running
    assert all(0 < current <= total for current, total in running)


def test_unknown_model_gets_a_suggestion(registry, weights) -> None:
    registry.register(Draft("diabetes", weights))
    with pytest.raises(WebserviceException, match="ModelNotFound.*did you mean `diabetes`") as caught:
        registry.get("diabtes")
    assert caught.value.code == "FN506"


def test_content_that_was_tampered_with_is_never_handed_out(registry, weights, tmp_path) -> None:
    record = registry.register(Draft("m", weights))
    other = replace(record, files=(replace(record.files[0], size_bytes=1),))
    with pytest.raises(ContentDamaged, match="not what was registered"):
        registry.fetch(other, tmp_path / "out")
    assert content(tmp_path / "out") == {}
