"""What a trigger gives: the value and the metadata for user code, and the data that binding expressions read.

One entry in `VALUES` adds a trigger kind. Sources: the bindings reference of Azure Functions, and the converters of
`azure.functions`, which take the values from here.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from fnpack_host.worker.values import Value
from fnpack_triggers.base import Binding, Event, Json

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_UNTOLD = ("code",)  # the key of a request is no data


def trigger_value(binding: Binding, event: Event) -> Value:
    """The value of an event for the trigger's parameter."""
    if event.items is not None:
        return texts_or_bytes(binding, event.items)
    return VALUES.get(binding.type, text_or_bytes)(binding, event.payload)


def text_or_bytes(binding: Binding, payload: bytes) -> Value:
    """Text unless `dataType` asks for bytes: what bindings get by default."""
    match binding.text("dataType").lower():
        case "binary":
            return Value(binding.name, "bytes", payload)
        case "stream":
            return Value(binding.name, "none")
        case _:
            return Value(binding.name, "string", as_utf8(payload))


def texts_or_bytes(binding: Binding, items: Sequence[bytes]) -> Value:
    """The values of a batch: texts unless `dataType` asks for bytes."""
    if binding.text("dataType").lower() == "binary":
        return Value.of_items(binding.name, "collection_bytes", items)
    return Value.of_items(binding.name, "collection_string", [as_utf8(item) for item in items])


def always_bytes(binding: Binding, payload: bytes) -> Value:
    """Bytes, whatever `dataType` says: a blob trigger's value."""
    return Value(binding.name, "bytes", payload)


def as_json(binding: Binding, payload: bytes) -> Value:
    """A JSON text: a timer's state."""
    return Value(binding.name, "json", payload)


VALUES: Mapping[str, Callable[[Binding, bytes], Value]] = {
    "blobtrigger": always_bytes,
    "timertrigger": as_json,
    "queuetrigger": text_or_bytes,
    "servicebustrigger": text_or_bytes,
}


def as_utf8(payload: bytes) -> bytes:
    """Text of any Unicode encoding that begins with its mark, else UTF-8 with what is no text replaced."""
    for mark, encoding in _BOMS:
        if payload.startswith(mark):
            return payload.decode(encoding, "replace").encode()
    try:
        payload.decode()
    except UnicodeDecodeError:
        return payload.decode("utf-8", "replace").encode()
    return payload


def query_values(url: str) -> dict[str, str]:
    """The query of a URL: names without regard to case, several values joined by `,`, empty ones left out."""
    values: dict[str, list[str]] = {}
    spelling: dict[str, str] = {}
    for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True, errors="replace"):
        values.setdefault(spelling.setdefault(name.lower(), name), []).append(value)
    return {name: ",".join(found) for name, found in values.items() if any(found)}


def http_data(
    query: Mapping[str, str], headers: Mapping[str, str], params: Mapping[str, str], body: bytes | memoryview
) -> dict[str, Json]:
    """What expressions may name in an HTTP function: route values, else query, else properties of a JSON body.

    `query` and `headers` are there as objects, too. All names are in lower case.
    """
    query_data: dict[str, Json] = {name.lower(): value for name, value in query.items()}
    header_data: dict[str, Json] = {**headers}
    found: dict[str, Json] = {"query": query_data, "headers": header_data, **json_properties(body)}
    found |= {name: value for name, value in query_data.items() if name not in _UNTOLD}
    found |= {name.lower(): value for name, value in params.items()}
    return found


def json_properties(body: bytes | memoryview) -> dict[str, Json]:
    """The top-level properties of a body that is a JSON object, lists left out; names in lower case."""
    if bytes(body[:100]).lstrip()[:1] not in (b"{", b""):
        return {}
    try:
        content: Json = json.loads(bytes(body))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key.lower(): value for key, value in content.items() if not isinstance(value, list)}
