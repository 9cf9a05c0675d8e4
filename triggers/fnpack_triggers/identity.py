"""Signing in with an identity instead of a key: the settings that say how, and azure-identity's credentials.

It knows no service: what is opened with a credential, and where that is, the callers know. azure-identity is imported
when a first token is needed, never before.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from fnpack_triggers.errors import ConnectionSettingError, ServiceError

if TYPE_CHECKING:
    from types import TracebackType

    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
    from azure.identity import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential, aio

    AioCredential = aio.ClientSecretCredential | aio.DefaultAzureCredential | aio.ManagedIdentityCredential
    Credential = ClientSecretCredential | DefaultAzureCredential | ManagedIdentityCredential

SIGN_IN_KEYS = (
    "credential",
    "clientId",
    "tenantId",
    "clientSecret",
    "managedIdentityResourceId",
    "managedIdentityObjectId",
    "clientCertificate",
)
_NOT_READ = {
    "managedIdentityObjectId": "name the identity by its `{prefix}__clientId`",
    "clientCertificate": "sign in with `{prefix}__clientSecret`, or set AZURE_CLIENT_CERTIFICATE_PATH, AZURE_CLIENT_ID "
    "and AZURE_TENANT_ID and leave the sign-in settings out",
}
_TOKEN_TIMEOUT_S = 20  # within a lease, as every call to storage

# Its warnings say on many lines what SignInError says on one, and quote all that a directory answered.
logging.getLogger("azure.identity").setLevel(logging.ERROR)


class SignInError(ServiceError):
    """No token: no identity here, or the directory refused. `is_final` is false where the same may work in a while."""

    code = "FN145"

    def __init__(self, message: str, *, hint: str, is_final: bool) -> None:
        super().__init__(message, hint=hint)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class SignIn:
    """How to sign in: with a managed identity, as an application with its secret, or as azure-identity finds a way.

    `setting` is the connection's, for messages.
    """

    setting: str = field(compare=False)
    is_managed: bool = False
    client_id: str = ""
    resource_id: str = ""
    tenant_id: str = ""
    client_secret: str = field(default="", repr=False)

    @classmethod
    def read(cls, prefix: str, keys: Mapping[str, str]) -> SignIn:
        """What `keys` (the settings below `prefix`, by their names in SIGN_IN_KEYS) say, as Azure's host reads them.

        Raises ConnectionSettingError where they say it by half, or what cannot be done here.
        """
        for key, instead in _NOT_READ.items():
            if key in keys:
                raise ConnectionSettingError(
                    f"the setting `{prefix}__{key}` cannot be used here", hint=instead.format(prefix=prefix)
                )
        client_id, tenant_id = keys.get("clientId", ""), keys.get("tenantId", "")
        resource_id, secret = keys.get("managedIdentityResourceId", ""), keys.get("clientSecret", "")
        if client_id and resource_id:
            raise ConnectionSettingError(
                f"the connection `{prefix}` names its identity twice: `{prefix}__clientId` and "
                f"`{prefix}__managedIdentityResourceId`",
                hint="keep one of the two",
            )
        if kind := keys.get("credential", ""):
            if kind.lower() != "managedidentity":
                raise ConnectionSettingError(
                    f"the setting `{prefix}__credential` is none of the known: `managedidentity`",
                    hint=f"set `{prefix}__credential` to `managedidentity`, or leave it out: a workload identity, a "
                    "managed identity or the login of a developer is then found by itself",
                )
            return cls(prefix, is_managed=True, client_id=client_id, resource_id=resource_id)
        _check_application(prefix, keys)
        return cls(prefix, client_id=client_id, tenant_id=tenant_id, client_secret=secret)

    def __str__(self) -> str:
        if self.is_managed:
            return f"managed identity {self.client_id or self.resource_id}".rstrip()
        return f"application {self.client_id}" if self.client_secret else "the identity that is found here"


def _check_application(prefix: str, keys: Mapping[str, str]) -> None:
    """Tenant, client and secret: all of them, or the client's id alone, or none."""
    if "managedIdentityResourceId" in keys:
        raise ConnectionSettingError(
            f"`{prefix}__managedIdentityResourceId` is set, but `{prefix}__credential` is missing",
            hint=f"set `{prefix}__credential` to `managedidentity`",
        )
    if not {"tenantId", "clientSecret"} & keys.keys():
        return
    missing = [key for key in ("tenantId", "clientId", "clientSecret") if key not in keys]
    if missing:
        names = " and ".join(f"`{prefix}__{key}`" for key in missing)
        raise ConnectionSettingError(
            f"the connection `{prefix}` signs in as an application, but {names} {'is' if len(missing) == 1 else 'are'} "
            "missing",
            hint=f"set tenantId, clientId and clientSecret; for a managed identity set `{prefix}__credential` to "
            "`managedidentity` instead",
        )


def require_library(prefix: str) -> None:
    """Say so at once where azure-identity is not installed. Raises ConnectionSettingError."""
    if importlib.util.find_spec("azure") is None or importlib.util.find_spec("azure.identity") is None:
        raise ConnectionSettingError(
            f"the connection `{prefix}` signs in with an identity, but azure-identity is not installed here",
            hint="pip install 'fnpack[identity]'; an image gets it from `fnpack build --identity`",
        )


class AsyncCredential:
    """The credential as one asynchronous client holds it; all that sign in alike in a loop share one behind it.

    So a token is asked for once, however many clients there are. The last one to `close` closes it.
    """

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in
        self._shared: _Shared | None = None

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: Any,
    ) -> AccessToken:
        """A token for `scopes`. Raises SignInError."""
        shared = self._hold()
        with _told(self._sign_in):
            async with shared.lock:
                asked = shared.credential.get_token(
                    *scopes, claims=claims, tenant_id=tenant_id, enable_cae=enable_cae, **kwargs
                )
                return await asyncio.wait_for(asked, _TOKEN_TIMEOUT_S)

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """A token for `scopes`, with when to renew it. Raises SignInError."""
        shared = self._hold()
        with _told(self._sign_in):
            async with shared.lock:
                return await asyncio.wait_for(
                    shared.credential.get_token_info(*scopes, options=options), _TOKEN_TIMEOUT_S
                )

    async def __aenter__(self) -> AsyncCredential:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of it. Safe to call twice."""
        shared, self._shared = self._shared, None
        if shared is None:
            return
        shared.holders -= 1
        if not shared.holders:
            _SHARED[asyncio.get_running_loop()].pop(self._sign_in, None)
            await shared.credential.close()

    def _hold(self) -> _Shared:
        if self._shared is None:
            here = _SHARED.setdefault(asyncio.get_running_loop(), {})
            if self._sign_in not in here:
                with _told(self._sign_in):
                    here[self._sign_in] = _Shared(_open_aio(self._sign_in))
            self._shared = here[self._sign_in]
            self._shared.holders += 1
        return self._shared


@dataclass(slots=True)
class _Shared:
    credential: AioCredential
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    holders: int = 0


_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[SignIn, _Shared]] = WeakKeyDictionary()


class SyncCredential:
    """The same for a client that blocks."""

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in
        with _told(sign_in):
            self._credential = _open_sync(sign_in)

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: Any,
    ) -> AccessToken:
        """A token for `scopes`. Raises SignInError."""
        with _told(self._sign_in):
            return self._credential.get_token(
                *scopes, claims=claims, tenant_id=tenant_id, enable_cae=enable_cae, **kwargs
            )

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """A token for `scopes`, with when to renew it. Raises SignInError."""
        with _told(self._sign_in):
            return self._credential.get_token_info(*scopes, options=options)

    def close(self) -> None:
        """Close its connections."""
        self._credential.close()


def _open_aio(sign_in: SignIn) -> AioCredential:
    from azure.identity.aio import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential

    if sign_in.client_secret:
        return ClientSecretCredential(sign_in.tenant_id, sign_in.client_id, sign_in.client_secret)
    if not sign_in.is_managed:
        return DefaultAzureCredential(**_found_client(sign_in))
    if not sign_in.resource_id:
        return ManagedIdentityCredential(client_id=sign_in.client_id or None)
    # The asynchronous credential hands the name of the parameter on as it is, and the two endpoints spell it apart.
    name = "mi_res_id" if os.environ.get("IDENTITY_ENDPOINT") else "msi_res_id"
    return ManagedIdentityCredential(identity_config={name: sign_in.resource_id})


def _open_sync(sign_in: SignIn) -> Credential:
    from azure.identity import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential

    if sign_in.client_secret:
        return ClientSecretCredential(sign_in.tenant_id, sign_in.client_id, sign_in.client_secret)
    if not sign_in.is_managed:
        return DefaultAzureCredential(**_found_client(sign_in))
    if not sign_in.resource_id:
        return ManagedIdentityCredential(client_id=sign_in.client_id or None)
    return ManagedIdentityCredential(identity_config={"resource_id": sign_in.resource_id})


def _found_client(sign_in: SignIn) -> dict[str, str]:
    """Given as None it would hide AZURE_CLIENT_ID."""
    return {"managed_identity_client_id": sign_in.client_id} if sign_in.client_id else {}


@contextmanager
def _told(sign_in: SignIn) -> Iterator[None]:
    """Turn what azure-identity raises into SignInError."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError

    try:
        yield
    except asyncio.TimeoutError as exc:
        raise _fault(sign_in, f"no token within {_TOKEN_TIMEOUT_S} s", is_final=False) from exc
    except (ClientAuthenticationError, ValueError) as exc:
        raise _fault(sign_in, _first_line(exc), is_final=True) from exc
    except (AzureError, OSError) as exc:
        raise _fault(sign_in, _first_line(exc), is_final=False) from exc


def _fault(sign_in: SignIn, reason: str, *, is_final: bool) -> SignInError:
    if sign_in.client_secret:
        reason = reason.replace(sign_in.client_secret, "***")
        hint = "check the tenant, the client's id and that its secret is not expired"
    elif sign_in.is_managed:
        hint = "give the container's host this identity; a managed identity exists in Azure only"
    else:
        hint = (
            "give it a managed identity or a workload identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
        )
        hint += "AZURE_CLIENT_SECRET; on your own machine, `az login`"
    return SignInError(
        f"the connection `{sign_in.setting}` cannot sign in as {sign_in}: {reason}",
        hint=hint,
        is_final=is_final,
    )


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:300]
