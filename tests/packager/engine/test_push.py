"""Pushes from the real Docker Engine to a real registry."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnpack.engine import BaseImageUnavailable, BaseImageWithoutPython, Engine, ImageBuildFailed, PushFailed
from fnpack.progress import ProgressEvent
from fnpack.spec import RegistryLogin

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path_factory.mktemp("docker")))
    with Engine.connect() as connected:
        yield connected


def built(engine: Engine, folder: Path, tag: str, base: str = "scratch") -> str:
    (folder / "id").write_text(str(uuid.uuid4()))
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY id /id\n")
    return engine.build(folder, tags=[tag])


def layers(engine: Engine, image: str) -> list[str]:
    found: list[str] = engine.client.api.inspect_image(image)["RootFS"]["Layers"]
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_push_gives_a_digest_that_can_be_pulled_back(
    engine: Engine, debian_base: str, registry: str, tmp_path: Path
) -> None:
    tag = f"{registry}/team/app:{uuid.uuid4().hex[:8]}"
    image = built(engine, tmp_path, tag, debian_base)
    events: list[ProgressEvent] = []
    reference = engine.push(tag, progress=events.append)
    assert reference.startswith(f"{registry}/team/app@sha256:")
    assert engine.digest_reference(image, tag) == reference
    assert [event.status for event in events if event.step == f"push {tag}"] == ["started", "done"]
    assert any(event.detail == "pushed" for event in events)
    engine.client.api.remove_image(image, force=True)
    pulled = engine.base_image(reference, progress=events.append)
    assert pulled.image_id == image
    assert [event.status for event in events if event.step == f"pull {reference}"] == ["started", "done"]
    engine.client.api.remove_image(image, force=True)


def test_a_closed_port_is_told_as_such(engine: Engine, tmp_path: Path) -> None:
    tag = f"127.0.0.1:{free_port()}/app:1"
    image = built(engine, tmp_path, tag)
    with pytest.raises(PushFailed, match="connection refused") as caught:
        engine.push(tag)
    assert caught.value.code == "FN414"
    assert "Nothing answers" in (caught.value.hint or "")
    engine.client.api.remove_image(image, force=True)


def test_a_tag_that_was_never_built_is_told_as_such(engine: Engine, registry: str) -> None:
    with pytest.raises(PushFailed) as caught:
        engine.push(f"{registry}/never:built")
    assert "Build it first" in (caught.value.hint or "")


def test_a_registry_wants_the_right_login(engine: Engine, locked_registry: str, tmp_path: Path) -> None:
    tag = f"{locked_registry}/app:1"
    login = RegistryLogin(locked_registry, "robot", "correct-horse")
    image = built(engine, tmp_path, tag)
    with pytest.raises(PushFailed, match="no basic auth") as without:
        engine.push(tag)
    assert without.value.code == "FN414"
    assert f"docker login {locked_registry}" in (without.value.hint or "")
    with pytest.raises(PushFailed) as wrong:
        engine.push(tag, [RegistryLogin(locked_registry, "robot", "battery-staple")])
    assert "battery-staple" not in f"{wrong.value} {wrong.value.hint}"
    reference = engine.push(tag, [login])
    engine.client.api.remove_image(image, force=True)
    with pytest.raises(BaseImageUnavailable, match="no basic auth"):
        engine.base_image(reference)
    with pytest.raises(BaseImageWithoutPython):  # so it was pulled
        engine.base_image(reference, logins=[login])
    engine.client.api.remove_image(image, force=True)


def test_a_build_from_a_private_base_uses_the_login(
    engine: Engine, locked_registry: str, tmp_path: Path
) -> None:
    tag = f"{locked_registry}/base:{uuid.uuid4().hex[:8]}"
    login = RegistryLogin(locked_registry, "robot", "correct-horse")
    base = built(engine, tmp_path, tag)
    base_layers = layers(engine, base)
    engine.push(tag, [login])
    engine.client.api.remove_image(base, force=True)
    (tmp_path / "Dockerfile").write_text(f"FROM {tag}\nCOPY id /copy-of-id\n")
    with pytest.raises(ImageBuildFailed, match=r"(?i)authorization failed|unauthorized|401"):
        engine.build(tmp_path, tags=["fnpack-test/private:1"])
    image = engine.build(tmp_path, tags=["fnpack-test/private:1"], logins=[login])
    assert layers(engine, image)[:-1] == base_layers
    engine.client.api.remove_image(image, force=True)
