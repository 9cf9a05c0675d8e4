"""Connection settings by the name that a binding gives: a value, or the settings of an identity below that name.

No message and no repr here holds a setting's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fnpack_triggers.errors import ConnectionSettingError
from fnpack_triggers.identity import SIGN_IN_KEYS
from fnpack_triggers.settings import find_setting

STORAGE_KEYS = ("accountName", "serviceUri", "blobServiceUri", "queueServiceUri")
_IDENTITY_KEYS = (*STORAGE_KEYS, "fullyQualifiedNamespace", *SIGN_IN_KEYS)
_SECRET_MARKS = (
    "accountkey=",
    "sharedaccesskey=",
    "sharedaccesssignature=",
    "endpoint=",
    "usedevelopmentstorage=",
)


@dataclass(frozen=True, slots=True)
class Section:
    """What the settings hold under one name: a value, or the identity settings below it (`PREFIX__accountName`).

    `keys` are those that are set, by their documented spelling.
    """

    prefix: str
    value: str = field(repr=False)
    keys: Mapping[str, str] = field(repr=False)

    def setting(self, key: str) -> str:
        """The name of the identity setting `key`, as one would write it in the environment."""
        return f"{self.prefix}__{key}"


def is_given(settings: Mapping[str, str], name: str) -> bool:
    """Whether the connection `name` is set in either form."""
    return _section(settings, name) is not None


def find_section(settings: Mapping[str, str], name: str) -> Section:
    """What is set for the connection `name`, in the order in which Azure's host looks.

    Raises ConnectionSettingError when nothing is, or when `name` is itself a connection string.
    """
    if _looks_like_a_value(name):
        raise ConnectionSettingError(
            "`connection` of a binding holds a connection string; it must hold the name of a setting",
            hint="put the connection string into a setting, name that setting, and replace the exposed key",
        )
    section = _section(settings, name)
    if section is None:
        raise _missing(name)
    if section.value:  # where both are set, the connection string wins, as Azure documents it
        return replace(section, keys={})
    return section


def _section(settings: Mapping[str, str], name: str) -> Section | None:
    for prefix in (
        f"ConnectionStrings:AzureWebJobs{name}",
        f"AzureWebJobs{name}",
        f"ConnectionStrings:{name}",
        name,
    ):
        value = (find_setting(settings, prefix) or "").strip()
        found = {key: (find_setting(settings, f"{prefix}:{key}") or "").strip() for key in _IDENTITY_KEYS}
        keys = {key: text for key, text in found.items() if text}
        if value or keys:
            return Section(prefix.replace(":", "__"), value, keys)
    return None


def _looks_like_a_value(name: str) -> bool:
    lowered = name.lower()
    return any(mark in lowered for mark in _SECRET_MARKS)


def _missing(name: str) -> ConnectionSettingError:
    return ConnectionSettingError(
        f"the connection setting `{name}` is not set (nor `AzureWebJobs{name}`)",
        hint=f"set `{name}` to a connection string: in the environment (`docker run -e {name}=...`), "
        "or under `Values` in local.settings.json",
    )
