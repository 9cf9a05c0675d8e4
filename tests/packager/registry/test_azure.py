from __future__ import annotations

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential

from fnpack.registry.azure import NoDirectoryToken, directory_token, is_azure
from fnpack.registry.errors import login_hint
from fnpack.registry.settings import RegistrySettings


@pytest.mark.parametrize(
    ("registry", "token", "expected"),
    [
        ("me.azurecr.io", None, True),
        ("me.azurecr.cn", None, True),
        ("evil-azurecr.io", "t", False),
        ("me.azurecr.io.evil.test", "t", False),
        ("docker.io", "t", False),
        ("127.0.0.1:5000", None, False),
        ("127.0.0.1:5000", "t", True),
    ],
)
def test_the_directorys_token_goes_to_azure_alone(registry: str, token: str | None, expected: bool) -> None:
    assert is_azure(registry, RegistrySettings(aad_token=token)) is expected


def test_a_missing_sign_in_is_told_in_a_few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ClientAuthenticationError("many lines, and s3cret ones")

    monkeypatch.setattr(DefaultAzureCredential, "get_token", fail)
    with pytest.raises(NoDirectoryToken, match="az login") as caught:
        directory_token(RegistrySettings())
    assert "s3cret" not in str(caught.value)
    assert directory_token(RegistrySettings(aad_token="given")) == "given"


def test_the_hint_for_a_login_is_the_registrys_own_command() -> None:
    assert "az acr login --name me" in login_hint("me.azurecr.io")
    assert "`docker login`" in login_hint("docker.io")
    assert "docker login ghcr.test" in login_hint("ghcr.test")
