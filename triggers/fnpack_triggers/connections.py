"""A storage account that a binding's connection opens: as a connection string or as an identity, checked.

No message and no repr here holds a connection string, a key or a secret.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fnpack_triggers.errors import ConnectionSettingError
from fnpack_triggers.identity import require_library
from fnpack_triggers.sections import find_section, is_given
from fnpack_triggers.storage_identity import StorageIdentity, read_storage_identity

__all__ = ["DEFAULT_STORAGE_SETTING", "StorageConnection", "is_given"]

DEFAULT_STORAGE_SETTING = "AzureWebJobsStorage"


@dataclass(frozen=True, slots=True)
class StorageConnection:
    """A storage account as a connection string or as an identity, checked.

    `setting` names where it came from, for messages. Two are equal if they open the same thing.
    """

    setting: str = field(compare=False)
    account: str
    text: str = field(repr=False)
    identity: StorageIdentity | None = None

    @classmethod
    def find(cls, settings: Mapping[str, str], name: str) -> StorageConnection:
        """The storage connection that a binding names; an empty name means `AzureWebJobsStorage`.

        Raises ConnectionSettingError when the setting is missing or malformed, or when it is an identity and
        azure-identity is not installed.
        """
        name = name or DEFAULT_STORAGE_SETTING
        section = find_section(settings, name)
        if section.value:
            return cls.parse(name, section.value)
        identity = read_storage_identity(section)
        require_library(section.prefix)
        return cls(section.prefix, identity.account, "", identity)

    @classmethod
    def parse(cls, setting: str, text: str) -> StorageConnection:
        """Check the connection string `text`; raises ConnectionSettingError saying which part is wrong."""
        parts = _parts(setting, text)
        if parts.get("usedevelopmentstorage", "").lower() == "true":
            return cls(setting, "devstoreaccount1", "UseDevelopmentStorage=true")
        _check_parts(setting, parts)
        account = parts.get("accountname") or urlsplit(parts["blobendpoint"]).netloc
        return cls(setting, account, text.strip())

    @property
    def has_blobs(self) -> bool:
        """Whether it says where the blobs are."""
        return self.identity is None or bool(self.identity.blob_uri)

    @property
    def has_both(self) -> bool:
        """Whether it says where the blobs are and where the queues are, as a blob trigger needs it."""
        one = self.identity
        return one is None or bool(one.blob_uri and one.queue_uri and not one.is_single)

    def with_blobs(self) -> StorageConnection:
        """Itself. Raises ConnectionSettingError when it does not say where the blobs are."""
        if not self.has_blobs:
            raise self.lacks("blobServiceUri", "where its blobs are")
        return self

    def with_queues(self) -> StorageConnection:
        """Itself. Raises ConnectionSettingError when it does not say where the queues are."""
        if self.identity is not None and not self.identity.queue_uri:
            raise self.lacks("queueServiceUri", "where its queues are")
        return self

    def lacks(self, key: str, what: str) -> ConnectionSettingError:
        """The error of an identity connection without the setting `key`."""
        service = "blob" if key.startswith("blob") else "queue"
        return ConnectionSettingError(
            f"the connection `{self.setting}` does not say {what}: `{self.setting}__{key}` is missing",
            hint=f"set `{self.setting}__{key}` to https://ACCOUNT.{service}.core.windows.net, or only "
            f"`{self.setting}__accountName`",
        )


def _parts(setting: str, text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for number, part in enumerate((part for part in text.strip().split(";") if part.strip()), start=1):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise _malformed(setting, f"part {number} is not of the form `Key=Value`")
        parts[key.strip().lower()] = value.strip()
    if not parts:
        raise _malformed(setting, "it is empty")
    return parts


def _check_parts(setting: str, parts: Mapping[str, str]) -> None:
    if not parts.get("accountname") and not parts.get("blobendpoint"):
        raise _malformed(setting, "it has neither `AccountName` nor `BlobEndpoint`")
    if not parts.get("sharedaccesssignature"):
        for key in ("AccountName", "AccountKey"):
            if not parts.get(key.lower()):
                raise _malformed(setting, f"`{key}` is missing (and there is no `SharedAccessSignature`)")
        try:
            base64.b64decode(parts["accountkey"], validate=True)
        except (binascii.Error, ValueError):
            raise _malformed(
                setting, "`AccountKey` is not base64 (cut off, or with a character too many)"
            ) from None
    if parts.get("defaultendpointsprotocol", "https").lower() not in ("http", "https"):
        raise _malformed(setting, "`DefaultEndpointsProtocol` is neither `http` nor `https`")
    for key in ("BlobEndpoint", "QueueEndpoint"):
        url = urlsplit(parts.get(key.lower(), "https://none"))
        if url.scheme not in ("http", "https") or not url.netloc:
            raise _malformed(setting, f"`{key}` is not an http(s) address")


def _malformed(setting: str, reason: str) -> ConnectionSettingError:
    return ConnectionSettingError(
        f"the connection setting `{setting}` is not a storage connection string: {reason}",
        hint="copy it again from the storage account's page `Access keys`, or use `UseDevelopmentStorage=true`",
    )
