"""A storage account given as an identity: `X__blobServiceUri`, `X__queueServiceUri`, `X__serviceUri`, `X__accountName`.

The names and which of them wins are those of Azure's host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from fnpack_triggers.errors import ConnectionSettingError
from fnpack_triggers.identity import SignIn
from fnpack_triggers.sections import STORAGE_KEYS, Section

_ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")


@dataclass(frozen=True, slots=True)
class StorageIdentity:
    """Addresses of an account's services, empty where none is known, and how to sign in to them.

    With `is_single` the one address that is known (`serviceUri`) may be that of either service. `is_multiple` says
    that they are named one by one (`blobServiceUri`).
    """

    sign_in: SignIn
    blob_uri: str
    queue_uri: str
    is_single: bool = False
    is_multiple: bool = False

    @property
    def account(self) -> str:
        """The account's name, for messages and to tell accounts apart."""
        return _account_of(self.blob_uri or self.queue_uri)


def read_storage_identity(section: Section) -> StorageIdentity:
    """The identity settings of a storage account. Raises ConnectionSettingError saying which is missing or wrong."""
    keys = section.keys
    uris = {key: _uri(section, key) for key in STORAGE_KEYS if key != "accountName"}
    single = uris["serviceUri"]
    kind = _service_of(single)
    blob_uri = uris["blobServiceUri"] or (single if kind != "queue" else "")
    queue_uri = uris["queueServiceUri"] or (single if kind != "blob" and not uris["blobServiceUri"] else "")
    if name := keys.get("accountName", "").lower():
        if not _ACCOUNT_NAME.fullmatch(name):
            raise ConnectionSettingError(
                f"the setting `{section.setting('accountName')}` is not the name of a storage account",
                hint="3 to 24 small letters and digits: the part of its address before `.blob.core.windows.net`",
            )
        blob_uri = blob_uri or f"https://{name}.blob.core.windows.net"
        queue_uri = f"https://{name}.queue.core.windows.net" if queue_uri in ("", single) else queue_uri
    if not blob_uri and not queue_uri:
        raise ConnectionSettingError(
            f"the connection `{section.prefix}` is given as an identity, but not the account: "
            f"`{section.setting('accountName')}` or `{section.setting('blobServiceUri')}` is missing",
            hint=f"set `{section.setting('blobServiceUri')}` to https://ACCOUNT.blob.core.windows.net and "
            f"`{section.setting('queueServiceUri')}` to https://ACCOUNT.queue.core.windows.net",
        )
    sign_in = SignIn.read(section.prefix, keys)
    return StorageIdentity(
        sign_in,
        blob_uri,
        queue_uri,
        is_single=bool(single) and blob_uri == queue_uri,
        is_multiple=bool(uris["blobServiceUri"] or uris["queueServiceUri"]),
    )


def _uri(section: Section, key: str) -> str:
    """The address in the setting `key`, without a slash at its end; empty where there is none."""
    text = section.keys.get(key, "").rstrip("/")
    if not text:
        return ""
    try:
        url = urlsplit(text)
        fault = "" if url.hostname and (url.port is None or url.port) else "is not an address"
    except ValueError:
        fault = "is not an address"
    if not fault and url.scheme != "https":
        fault = "is not an https address, and tokens go nowhere else"
    if not fault and (url.query or url.fragment or url.username is not None):
        fault = "has more than the address: a signature or a login has no place beside an identity"
    if fault:
        raise ConnectionSettingError(
            f"the setting `{section.setting(key)}` {fault}",
            hint="write https://ACCOUNT.blob.core.windows.net",
        )
    return text


def _service_of(uri: str) -> str:
    """`blob` or `queue` where an address of Azure's says it, else nothing."""
    labels = (urlsplit(uri).hostname or "").split(".")
    return labels[1] if len(labels) > 2 and labels[1] in ("blob", "queue") else ""


def _account_of(uri: str) -> str:
    """The account's name: the first part of the path where there is one, as in Azurite, else the host's first label."""
    url = urlsplit(uri)
    host, path = url.hostname or "", url.path.strip("/")
    return path.split("/")[0] if path else host.split(".")[0]
