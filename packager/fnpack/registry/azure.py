"""Azure Container Registry by Azure AD: a token of the directory is exchanged for a refresh token of the registry.

azure-identity is imported when there is no other login for a registry of Azure's, never before.
"""

from __future__ import annotations

from fnpack.registry.addresses import is_loopback
from fnpack.registry.settings import RegistrySettings

_ENDINGS = (".azurecr.io", ".azurecr.cn", ".azurecr.us")
_SCOPE = "https://containerregistry.azure.net/.default"


class NoDirectoryToken(Exception):  # noqa: N818 - says what is missing
    """There is none; the text says why, in a few words without secrets."""


def is_azure(registry: str, settings: RegistrySettings) -> bool:
    """Whether this registry may be sent a token of the directory. One on this machine may be sent a given one."""
    host = registry.partition(":")[0]
    return host.endswith(_ENDINGS) or (is_loopback(host) and settings.aad_token is not None)


def directory_token(settings: RegistrySettings) -> str:
    """FNPACK_REGISTRY_AAD_TOKEN, else what azure-identity's default chain gets (variables, identities, `az login`)."""
    if settings.aad_token:
        return settings.aad_token
    try:
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise NoDirectoryToken("azure-identity is not installed: pip install 'fnpack[identity]'") from None
    import logging

    # its warnings say on many lines what the error says on one
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    try:
        with DefaultAzureCredential(process_timeout=20) as credential:
            return credential.get_token(_SCOPE).token
    except ClientAuthenticationError as exc:
        raise NoDirectoryToken(f"no sign-in found ({type(exc).__name__}); `az login` makes one") from None
