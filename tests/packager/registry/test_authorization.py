"""Logins and tokens against a real registry: Basic, Bearer with the right scopes, identity tokens, Azure's exchange."""

from __future__ import annotations

import base64
import json
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fault_proxy import Fault, FaultProxy
from fnpack.registry import (
    Reference,
    Registries,
    RegistryBase,
    RegistrySettings,
    get_manifest,
    push_image,
)
from fnpack.registry.errors import RegistryDenied, RegistryError, RegistryUnauthorised, TlsFailed
from fnpack.spec import RegistryLogin
from image_parts import image, layer, reference
from services import Registry
from token_server import TokenServer

Settings = Callable[..., RegistrySettings]
DockerConfig = Callable[[Mapping[str, object]], dict[str, str]]
PASSWORD = "correct-horse"
PARTS = image(layer(b"x" * 100), layer(b"y" * 200_000))


def entry(user: str = "robot", password: str = PASSWORD) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def team(registry: str, name: str = "app") -> Reference:
    return Reference.parse(f"{registry}/team/{name}:1")


def test_basic_login_from_dockers_configuration(
    locked_registry: str, settings: Settings, docker_config: DockerConfig
) -> None:
    target = reference(locked_registry)
    made = settings(docker_config({"auths": {locked_registry: entry()}}))
    with Registries(made) as client:
        push_image(target, **PARTS.parts, registries=client)
        assert get_manifest(client, target) == PARTS.manifest


def test_no_and_a_wrong_login_are_told_with_the_places_and_never_the_password(
    locked_registry: str, settings: Settings, docker_config: DockerConfig
) -> None:
    target = reference(locked_registry)
    with Registries(settings()) as client, pytest.raises(RegistryUnauthorised) as caught:
        push_image(target, **PARTS.parts, registries=client)
    assert caught.value.code == "FN462"
    assert caught.value.tried == ("without a login",)
    assert f"docker login {locked_registry}" in (caught.value.hint or "")
    env = docker_config({"auths": {locked_registry: entry(password="battery-staple")}})
    with Registries(settings(env)) as client, pytest.raises(RegistryUnauthorised) as caught:
        push_image(target, **PARTS.parts, registries=client)
    assert "config.json: login `robot`" in str(caught.value)
    assert "battery-staple" not in f"{caught.value!r} {caught.value} {caught.value.hint}"


def test_a_refused_login_is_sent_once(locked_registry: str, settings: Settings) -> None:
    with FaultProxy(locked_registry) as proxy:
        made = settings(variable_login=RegistryLogin(proxy.address, "robot", "battery-staple"))
        with (
            Registries(made) as client,
            pytest.raises(RegistryUnauthorised, match="FNPACK_REGISTRY_USERNAME"),
        ):
            get_manifest(client, reference(proxy.address))
        # once without and once with the login for the manifest, the same for the tags that its error would suggest
        assert sum("Authorization" in headers for headers in proxy.headers) == 1
        assert proxy.methods("/manifests/") == ["GET", "GET"]


def test_a_basic_registry_is_told_who_asks_at_once_in_the_next_run(
    locked_registry: str, settings: Settings, tmp_path: Path
) -> None:
    with FaultProxy(locked_registry) as proxy:
        target = reference(proxy.address)
        made = settings(logins=(RegistryLogin(proxy.address, "robot", PASSWORD),))
        with Registries(made) as client:
            push_image(target, **PARTS.parts, registries=client)
        proxy.requests.clear()
        with Registries(made) as client:
            push_image(target, **PARTS.parts, registries=client)
        assert proxy.methods() == ["PUT"]
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if PASSWORD in path.read_text("utf-8", "replace")]
    assert not [
        path for path in kept if base64.b64encode(f"robot:{PASSWORD}".encode()).decode() in path.read_text()
    ]


def test_a_token_is_asked_for_with_the_union_of_scopes(
    token_registry: str, tokens: TokenServer, settings: Settings, docker_config: DockerConfig
) -> None:
    tokens.rights["robot"]["bases/"] = {"pull", "push"}
    base_at, target = Reference.parse(f"{token_registry}/bases/python:1"), team(token_registry)
    made = settings(docker_config({"auths": {token_registry: entry()}}))
    standing = image(layer(b"base" * 50_000))
    with Registries(made) as client:
        push_image(base_at, **standing.parts, registries=client)
    tokens.asked.clear()
    with Registries(settings(docker_config({"auths": {token_registry: entry()}}), cache=None)) as client:
        client.intend(target, base_at)
        base = RegistryBase(base_at, client)
        base.config()
        result = push_image(
            target, **image(*standing.layers, layer(b"app")).parts, registries=client, base=base
        )
    assert (result.mounted, result.pushed) == (1, 2)
    assert tokens.asked == [["repository:bases/python:pull", "repository:team/app:pull,push"]]


@pytest.mark.parametrize("strict", [False, True])
def test_a_base_that_may_not_be_read_by_mount_is_pushed_instead(
    token_registry: str,
    tokens: TokenServer,
    settings: Settings,
    docker_config: DockerConfig,
    strict: bool,
    tmp_path: Path,
) -> None:
    env = docker_config({"auths": {token_registry: entry()}})
    base_at, target, standing = (
        team(token_registry, "base"),
        team(token_registry),
        image(layer(b"b" * 100_000)),
    )
    with Registries(settings(env)) as client:
        push_image(base_at, **standing.parts, registries=client)
        base = RegistryBase(base_at, client)
        base.config()
        base.open_layer(standing.layers[0].descriptor).close()  # so it is on this machine
    tokens.rights["robot"] = {"team/app": {"pull", "push"}}
    tokens.strict = strict
    shutil.rmtree(tmp_path / "cache" / "registry" / "tokens")
    with Registries(settings(env)) as client:
        base = RegistryBase(base_at.at(standing.manifest.descriptor.digest), client)
        result = push_image(target, **standing.parts, registries=client, base=base)
    assert (result.mounted, result.pushed) == (0, 2)


def test_tokens_are_kept_for_their_owner_alone_and_used_in_the_next_run(
    token_registry: str, tokens: TokenServer, settings: Settings, docker_config: DockerConfig, tmp_path: Path
) -> None:
    with FaultProxy(token_registry) as proxy:
        target = team(proxy.address)
        made = settings(docker_config({"auths": {proxy.address: entry()}}))
        for asked, methods in ((1, None), (1, ["PUT"])):
            proxy.requests.clear()
            with Registries(made) as client:
                push_image(target, **PARTS.parts, registries=client)
            assert len(tokens.asked) == asked
            assert methods in (None, proxy.methods())
        (file,) = (tmp_path / "cache" / "registry" / "tokens").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # another login, another token
        other = settings(docker_config({"auths": {proxy.address: entry("robot ", PASSWORD)}}))
        with Registries(other) as client, pytest.raises(RegistryUnauthorised):
            push_image(target, **PARTS.parts, registries=client)


def test_a_kept_token_that_the_registry_does_not_take_any_more_is_renewed(
    token_registry: str, tokens: TokenServer, settings: Settings, docker_config: DockerConfig, tmp_path: Path
) -> None:
    target, made = team(token_registry), settings(docker_config({"auths": {token_registry: entry()}}))
    with Registries(made) as client:
        push_image(target, **PARTS.parts, registries=client)
    (file,) = (tmp_path / "cache" / "registry" / "tokens").iterdir()
    for broken in ("nonsense", "{", json.dumps({"signature": 1}), None):
        if broken == "nonsense":
            kept = json.loads(file.read_text())
            kept["tokens"][0]["text"] = "nonsense"
            file.write_text(json.dumps(kept))
        elif broken is not None:
            file.write_text(broken)
        with Registries(made) as client:
            push_image(target, **PARTS.parts, registries=client)


def test_a_token_that_expires_during_a_push_is_renewed(
    token_registry: str, tokens: TokenServer, settings: Settings, docker_config: DockerConfig
) -> None:
    tokens.lifetime_s = 5  # less than the margin before its end: each request asks for one
    made = settings(docker_config({"auths": {token_registry: entry()}}), workers=1, cache=None)
    with Registries(made) as client:
        push_image(team(token_registry), **PARTS.parts, registries=client)
    assert len(tokens.asked) > 4


def test_an_identity_token_is_exchanged_for_tokens(
    token_registry: str, tokens: TokenServer, settings: Settings, docker_config: DockerConfig
) -> None:
    tokens.identity_tokens["my-identity"] = "robot"
    login = {"identitytoken": "my-identity", **entry("00000000-0000-0000-0000-000000000000", "")}
    with Registries(settings(docker_config({"auths": {token_registry: login}}))) as client:
        push_image(team(token_registry), **PARTS.parts, registries=client)
    assert set(tokens.paths) == {"POST /oauth2/token"}
    stale = {"identitytoken": "another", **entry("", "")}
    with (
        Registries(settings(docker_config({"auths": {token_registry: stale}}))) as client,
        pytest.raises(RegistryUnauthorised, match="identity token") as caught,
    ):
        push_image(team(token_registry), **PARTS.parts, registries=client)
    assert "no such identity token" in str(caught.value)
    assert "another" not in str(caught.value)


def test_a_token_of_azures_directory_is_exchanged(
    token_registry: str, tokens: TokenServer, settings: Settings
) -> None:
    tokens.directory_tokens["directory"] = "robot"
    made = settings({"FNPACK_REGISTRY_AAD_TOKEN": "directory"})
    with Registries(made) as client:
        push_image(team(token_registry), **PARTS.parts, registries=client)
    assert tokens.paths == ["POST /oauth2/exchange", "POST /oauth2/token"]
    made = settings({"FNPACK_REGISTRY_AAD_TOKEN": "expired"}, cache=None)
    with Registries(made) as client, pytest.raises(RegistryError) as caught:
        push_image(team(token_registry, "other"), **PARTS.parts, registries=client)
    assert "Azure AD: the registry does not take its token (401)" in str(caught.value)
    assert "expired" not in str(caught.value)


def test_everybody_may_pull_what_is_public_and_no_more(
    token_registry: str, tokens: TokenServer, settings: Settings, docker_config: DockerConfig
) -> None:
    tokens.rights["robot"]["public/"] = {"pull", "push"}
    public, private = Reference.parse(f"{token_registry}/public/app:1"), team(token_registry)
    with Registries(settings(docker_config({"auths": {token_registry: entry()}}))) as client:
        push_image(public, **PARTS.parts, registries=client)
        push_image(private, **PARTS.parts, registries=client)
    with Registries(settings()) as client:
        assert get_manifest(client, public) == PARTS.manifest
        with pytest.raises(RegistryUnauthorised, match="without a login"):
            get_manifest(client, private)
        with pytest.raises(RegistryUnauthorised):
            push_image(public.tagged("2"), **PARTS.parts, registries=client)


def test_a_login_without_the_right_is_denied_not_unknown(
    token_registry: str, settings: Settings, docker_config: DockerConfig
) -> None:
    made = settings(docker_config({"auths": {token_registry: entry()}}))
    target = Reference.parse(f"{token_registry}/other/app:1")
    with Registries(made) as client, pytest.raises(RegistryDenied, match="a push to `other/app`") as caught:
        push_image(target, **PARTS.parts, registries=client)
    assert caught.value.code == "FN463"
    assert "login `robot`" in str(caught.value)


def test_two_registries_in_one_build_have_two_logins(
    locked_registry: str, token_registry: str, settings: Settings, docker_config: DockerConfig
) -> None:
    base_at, target, standing = (
        reference(locked_registry, "base"),
        team(token_registry),
        image(layer(b"b" * 100_000)),
    )
    env = docker_config({"auths": {token_registry: entry()}})
    made = settings(env, logins=(RegistryLogin(f"https://{locked_registry}", "robot", PASSWORD),))
    with Registries(made) as client:
        push_image(base_at, **standing.parts, registries=client)
        base = RegistryBase(base_at, client)
        result = push_image(
            target, **image(*standing.layers, layer(b"a")).parts, registries=client, base=base
        )
        assert result.pushed == 3
        assert RegistryBase(target, client).layers()[0].open().read() == b"b" * 100_000


def test_the_login_is_not_sent_to_where_the_registry_points(
    locked_registry: str, registry: str, settings: Settings
) -> None:
    with FaultProxy(registry) as storage, FaultProxy(locked_registry) as proxy:
        made = settings(logins=(RegistryLogin(proxy.address, "robot", PASSWORD),))
        target = reference(proxy.address)
        with Registries(made) as client:
            push_image(target, **PARTS.parts, registries=client)
            base = RegistryBase(target, client)
            big = base.layers()[-1].descriptor if base.layers() else None
            assert big is not None
            elsewhere = reference(storage.address)
            push_image(elsewhere, **PARTS.parts, registries=client)
            place = f"http://{storage.address}/v2/{elsewhere.repository}/blobs/{big.digest}?signature=s3cret"
            proxy.add(Fault("GET", "/blobs/", status=307, headers={"Location": place}))
            storage.headers.clear()
            assert base.layers()[-1].open().read() == b"y" * 200_000
        assert storage.headers
        assert not [headers for headers in storage.headers if "Authorization" in headers]


def test_a_login_is_not_sent_to_a_token_server_without_tls(registry: str, settings: Settings) -> None:
    with FaultProxy(registry) as proxy:
        proxy.add(
            Fault(
                "GET",
                times=9,
                status=401,
                headers={"WWW-Authenticate": 'Bearer realm="http://tokens.test/t"'},
            )
        )
        made = settings(logins=(RegistryLogin(proxy.address, "robot", PASSWORD),))
        with Registries(made) as client, pytest.raises(TlsFailed, match="without TLS"):
            get_manifest(client, reference(proxy.address))


def test_a_registry_with_an_unknown_kind_of_login_is_told(proxy: FaultProxy, settings: Settings) -> None:
    proxy.add(Fault("GET", times=9, status=401, headers={"WWW-Authenticate": "Negotiate"}))
    with Registries(settings()) as client, pytest.raises(RegistryUnauthorised, match="not known"):
        get_manifest(client, reference(proxy.address))


def test_a_token_server_that_fails_for_a_moment_is_asked_again(
    registry_factory: Callable[..., Registry],
    tokens: TokenServer,
    settings: Settings,
    docker_config: DockerConfig,
) -> None:
    with FaultProxy(tokens.url.removeprefix("http://")) as before:
        auth = tokens.auth.replace(tokens.url, f"http://{before.address}")
        address = registry_factory(auth=auth).address
        before.add(Fault("GET", times=2, status=503))
        with Registries(settings(docker_config({"auths": {address: entry()}}))) as client:
            push_image(team(address), **PARTS.parts, registries=client)
        before.add(Fault("GET", times=99, status=500, body=b"out of order"))
        with (
            Registries(settings(docker_config({"auths": {address: entry()}}), cache=None)) as client,
            pytest.raises(RegistryError, match=r"token server .* answered 500.*out of order"),
        ):
            get_manifest(client, team(address, "x"))
        assert len(before.requests) == 3 + 5
