"""A Service Bus namespace that a binding's connection opens, checked. No message and no repr holds its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fnpack_triggers.errors import ConnectionSettingError
from fnpack_triggers.sections import lookup

DEFAULT_SETTING = "AzureWebJobsServiceBus"


@dataclass(frozen=True, slots=True)
class BusConnection:
    """A namespace as a connection string, checked. `setting` names where it came from, for messages."""

    setting: str = field(compare=False)
    namespace: str
    text: str = field(repr=False)

    @classmethod
    def find(cls, settings: Mapping[str, str], name: str) -> BusConnection:
        """The namespace that a binding names; an empty name means `AzureWebJobsServiceBus`.

        Raises ConnectionSettingError when the setting is missing, malformed, or an identity.
        """
        name = name or DEFAULT_SETTING
        return cls.parse(name, lookup(settings, name))

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


def _without_entity(text: str) -> str:
    """The connection string without EntityPath: bindings say which entity, and a key of another one is refused."""
    parts = (part.strip() for part in text.strip().split(";"))
    return ";".join(part for part in parts if part and not part.lower().startswith("entitypath="))


def _malformed(setting: str, reason: str) -> ConnectionSettingError:
    return ConnectionSettingError(
        f"the connection setting `{setting}` is not a Service Bus connection string: {reason}",
        hint="copy it again from the namespace's page `Shared access policies`",
    )
