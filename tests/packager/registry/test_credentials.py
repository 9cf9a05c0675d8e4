from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fnpack.registry.credentials import find, signature
from fnpack.registry.settings import RegistrySettings
from fnpack.spec import RegistryLogin

Settings = Callable[..., RegistrySettings]
DockerConfig = Callable[[Mapping[str, object]], dict[str, str]]


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def helper(folder: Path, name: str, script: str) -> str:
    """A credential helper; returns the PATH to find it."""
    folder.mkdir(exist_ok=True)
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_places_are_searched_in_order(
    settings: Settings, docker_config: DockerConfig, tmp_path: Path
) -> None:
    podman = tmp_path / "run" / "containers"
    podman.mkdir(parents=True)
    (podman / "auth.json").write_text(
        json.dumps({"auths": {"r.test": auth("podman:1"), "p.test": auth("podman:2")}})
    )
    env = docker_config({"auths": {"https://r.test/v1/": auth("docker:3")}}) | {
        "XDG_RUNTIME_DIR": str(tmp_path / "run")
    }
    made = settings(env)
    users = []
    assert find("p.test", "a", made).credential is not None
    for changes in (
        {"logins": (RegistryLogin("https://r.test", "given", "4"),)},
        {"variable_login": RegistryLogin("", "variable", "5"), "target": "r.test"},
        {"auth_text": json.dumps({"auths": {"r.test": auth("text:6")}})},
        {},
        {"auth_files": made.auth_files[1:]},
    ):
        found = find("r.test", "a", settings(env, **changes)).credential
        assert found is not None
        users.append(found.username)
    assert users == ["given", "variable", "text", "docker", "podman"]


def test_the_variables_login_goes_to_the_registry_pushed_to_or_the_one_it_names(settings: Settings) -> None:
    env = {"FNPACK_REGISTRY_USERNAME": "u", "FNPACK_REGISTRY_PASSWORD": "p"}
    made = settings(env, target="target.test")
    assert find("target.test", "a", made).credential is not None
    assert find("base.test", "a", made).credential is None
    named = settings({**env, "FNPACK_REGISTRY_ADDRESS": "https://base.test"}, target="target.test")
    assert find("base.test", "a", named).credential is not None
    assert find("target.test", "a", named).credential is None


def test_podmans_login_for_a_part_of_a_registry_is_for_that_part(
    settings: Settings, docker_config: DockerConfig
) -> None:
    made = settings(docker_config({"auths": {"r.test/team": auth("team:1"), "r.test": auth("all:2")}}))
    users = {name: find("r.test", name, made).credential for name in ("team/app", "team", "teams/app", "x")}
    assert {name: found.username for name, found in users.items() if found} == {
        "team/app": "team",
        "team": "team",
        "teams/app": "all",
        "x": "all",
    }


@pytest.mark.parametrize(
    "entry",
    [
        {"identitytoken": "secret-token", **auth("00000000-0000-0000-0000-000000000000:")},
        auth("<token>:secret-token"),
    ],
)
def test_identity_tokens_are_told_apart(
    settings: Settings, docker_config: DockerConfig, entry: dict[str, str]
) -> None:
    found = find("r.test", "a", settings(docker_config({"auths": {"r.test": entry}}))).credential
    assert found is not None
    assert found.identity_token == "secret-token"
    assert "secret-token" not in repr(found)


def test_helpers_are_asked_by_dockers_protocol(
    settings: Settings, docker_config: DockerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = 'test "$1" = get && printf \'{"ServerURL":"%s","Username":"me","Secret":"s"}\' "$(cat)"'
    monkeypatch.setenv("PATH", helper(tmp_path / "bin", "one", answer))
    made = settings(docker_config({"credHelpers": {"r.test": "one"}, "auths": {"r.test": auth("file:1")}}))
    found = find("r.test", "a", made)
    assert found.credential is not None
    assert (found.credential.username, found.credential.password) == ("me", "s")
    log = tmp_path / "asked"
    monkeypatch.setenv(
        "PATH",
        helper(tmp_path / "bin", "two", f'cat > {log}; echo \'{{"Username":"<token>","Secret":"t"}}\''),
    )
    hub = find(
        "docker.io",
        "me/app",
        settings(docker_config({"credsStore": "two", "auths": {"https://index.docker.io/v1/": {}}})),
    )
    assert hub.credential is not None
    assert hub.credential.identity_token == "t"
    assert log.read_text() == "https://index.docker.io/v1/"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo credentials not found in native keychain; exit 1", "knows no login"),
        ("echo s3cret >&2; exit 3", r"failed \(exit code 3\)"),
        ("echo s3cret", "cannot be read"),
        (None, "not on the PATH"),
    ],
)
def test_a_helper_that_fails_is_told_and_passed_over(
    settings: Settings,
    docker_config: DockerConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    told: str,
) -> None:
    if script is not None:
        monkeypatch.setenv("PATH", helper(tmp_path / "bin", "broken", script))
    podman = tmp_path / "auth.json"
    podman.write_text(json.dumps({"auths": {"r.test": auth("podman:1")}}))
    env = docker_config({"credsStore": "broken"})
    found = find(
        "r.test", "a", settings(env, auth_files=(Path(env["DOCKER_CONFIG"]) / "config.json", podman))
    )
    assert found.credential is not None
    assert found.credential.username == "podman"
    assert any(re.search(told, text) for text in found.tried)
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"auths": 1, "credHelpers": [], "credsStore": {}}',
        "\udcff",
        '{"auths": {"r.test": {"auth": "?"}}}',
    ],
)
def test_a_broken_file_is_no_login(settings: Settings, tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert find("r.test", "a", settings(auth_files=(path,))).credential is None


def test_the_signature_changes_with_a_login_and_holds_no_password(
    settings: Settings, docker_config: DockerConfig
) -> None:
    before = signature("r.test", settings(docker_config({})))
    after = signature("r.test", settings(docker_config({"auths": {"r.test": auth("docker:hunter2")}})))
    given = signature("r.test", settings(logins=(RegistryLogin("r.test", "given", "hunter2"),)))
    assert len({before, after, given}) == 3
    assert "hunter2" not in before + after + given
