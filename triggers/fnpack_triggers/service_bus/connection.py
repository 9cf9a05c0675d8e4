"""A Service Bus namespace that a binding's connection opens, checked. No message and no repr holds its key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fnpack_triggers.errors import ConnectionSettingError
from fnpack_triggers.identity import SignIn, require_library
from fnpack_triggers.sections import Section, find_section

DEFAULT_SETTING = "AzureWebJobsServiceBus"
_HOST_KEY = "fullyQualifiedNamespace"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class BusConnection:
    """A namespace as a connection string or as an identity, checked. `setting` names where it came from, for messages.

    `namespace` is its host name, with the port where one is given.
    """

    setting: str = field(compare=False)
    namespace: str
    text: str = field(repr=False)
    sign_in: SignIn | None = None

    @classmethod
    def find(cls, settings: Mapping[str, str], name: str) -> BusConnection:
        """The namespace that a binding names; an empty name means `AzureWebJobsServiceBus`.

        Raises ConnectionSettingError when the setting is missing or malformed, or when it is an identity and
        azure-identity is not installed.
        """
        name = name or DEFAULT_SETTING
        section = find_section(settings, name)
        if section.value:
            return cls.parse(name, section.value)
        namespace = _identity_namespace(section)
        sign_in = SignIn.read(section.prefix, section.keys)
        require_library(section.prefix)
        return cls(section.prefix, namespace, "", sign_in)

    @classmethod
    def parse(cls, setting: str, text: str) -> BusConnection:
        """Check the connection string `text`; raises ConnectionSettingError saying which part is wrong."""
        parts: dict[str, str] = {}
        for number, part in enumerate((part for part in text.strip().split(";") if part.strip()), start=1):
            key, equals, value = part.partition("=")
            if not equals or not key.strip():
                raise _malformed(setting, f"part {number} is not of the form `Key=Value`")
            parts[key.strip().lower()] = value.strip()
        endpoint = parts.get("endpoint", "")
        if not endpoint:
            raise _malformed(setting, "`Endpoint` is missing")
        namespace = _namespace(endpoint)
        if not namespace:
            raise _malformed(setting, "`Endpoint` is not of the form sb://NAMESPACE.servicebus.windows.net/")
        if not parts.get("sharedaccesssignature"):
            for key in ("SharedAccessKeyName", "SharedAccessKey"):
                if not parts.get(key.lower()):
                    raise _malformed(setting, f"`{key}` is missing (and there is no `SharedAccessSignature`)")
        elif parts.get("sharedaccesskey"):
            raise _malformed(
                setting, "it has `SharedAccessKey` and `SharedAccessSignature`; keep one of the two"
            )
        return cls(setting, namespace, _without_entity(text))


def _namespace(endpoint: str) -> str:
    """Host, and port where there is one; empty for what is no address of a namespace."""
    url = urlsplit(endpoint)
    try:
        return url.netloc if url.scheme.lower() == "sb" and url.hostname and url.port != 0 else ""
    except ValueError:
        return ""


def _identity_namespace(section: Section) -> str:
    """The host name in `X__fullyQualifiedNamespace`."""
    setting, hint = section.setting(_HOST_KEY), "write only the host's name: NAMESPACE.servicebus.windows.net"
    host = section.keys.get(_HOST_KEY, "")
    if not host:
        raise ConnectionSettingError(
            f"the connection `{section.prefix}` is given as an identity, but not the namespace: `{setting}` is missing",
            hint=f"set `{setting}` to NAMESPACE.servicebus.windows.net",
        )
    if not _HOST.fullmatch(host):
        raise ConnectionSettingError(f"the setting `{setting}` is not the name of a host", hint=hint)
    return host


def _without_entity(text: str) -> str:
    """The connection string without EntityPath: bindings say which entity, and a key of another one is refused."""
    parts = (part.strip() for part in text.strip().split(";"))
    return ";".join(part for part in parts if part and not part.lower().startswith("entitypath="))


def _malformed(setting: str, reason: str) -> ConnectionSettingError:
    return ConnectionSettingError(
        f"the connection setting `{setting}` is not a Service Bus connection string: {reason}",
        hint="copy it again from the namespace's page `Shared access policies`",
    )
