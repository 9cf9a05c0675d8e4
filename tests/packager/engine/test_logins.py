from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from fnpack.config.image_names import registry_name
from fnpack.engine.logins import login_for, registry_of
from fnpack.spec import RegistryLogin

if TYPE_CHECKING:
    from docker.api.client import APIClient

API = cast("APIClient", SimpleNamespace(credstore_env=None))


@pytest.fixture
def docker_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("debian", "docker.io"),
        ("me/app:1", "docker.io"),
        ("index.docker.io/me/app", "docker.io"),
        ("127.0.0.1:5000/app:1", "127.0.0.1:5000"),
        ("Registry.test/a/b@sha256:" + "0" * 64, "registry.test"),
    ],
)
def test_a_reference_names_its_registry(reference: str, registry: str) -> None:
    assert registry_of(reference) == registry


def test_the_hub_has_one_name() -> None:
    names = ["https://index.docker.io/v1/", "registry-1.docker.io", "docker.io"]
    assert {registry_name(name) for name in names} == {"docker.io"}


def test_a_given_login_comes_before_dockers(docker_config: Path) -> None:
    stored = base64.b64encode(b"stored:old").decode()
    docker_config.write_text(json.dumps({"auths": {"registry.test": {"auth": stored}}}))
    given = [RegistryLogin("https://registry.test", "given", "new"), RegistryLogin("other.test", "o", "o")]
    assert login_for(API, "registry.test", given)["username"] == "given"
    assert login_for(API, "registry.test", [])["username"] == "stored"
    assert login_for(API, "elsewhere.test", given) == {}


def test_a_login_without_a_password_is_no_login(docker_config: Path) -> None:
    assert login_for(API, "registry.test", [RegistryLogin("registry.test")]) == {}


def test_an_identity_token_is_kept(docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"auths": {"registry.test": {"identitytoken": "t"}}}))
    assert login_for(API, "registry.test", []) == {"identitytoken": "t"}


@pytest.mark.parametrize(
    "text", ["{", json.dumps({"credsStore": "not-installed-here"}), json.dumps({"auths": {"r": 1}})]
)
def test_an_unusable_docker_configuration_means_anonymous(docker_config: Path, text: str) -> None:
    docker_config.write_text(text)
    assert login_for(API, "registry.test", []) == {}
