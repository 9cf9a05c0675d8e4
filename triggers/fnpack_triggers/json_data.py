"""What messages that hold JSON give: binding data from an object's properties, several messages from an array."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fnpack_triggers.base import Json

_WHITE_SPACE = " \t\r\n"


def with_json_properties(own: Mapping[str, Json], text: str) -> dict[str, Json]:
    """A message's `own` data and, where its `text` is a JSON object, the object's top-level properties.

    In expressions, whose names know no case, the properties win over the message's own data, as in Azure's host.
    Under their exact names the message's own values stay, so that user code sees the message's `Id` even when the
    JSON has one (in Azure's host it does not).
    """
    named = {key.lower() if key in own else key: value for key, value in _properties(text).items()}
    return {**own, **named}


def _properties(text: str) -> dict[str, Json]:
    if not text.lstrip().startswith("{"):
        return {}
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if item is not None and not isinstance(item, list)}


def split_items(value: bytes) -> list[bytes]:
    """The items of a JSON array, each as it is written there (strings without quotes, null as empty text).

    Anything else is one item.
    """
    try:
        text = value.decode().strip(_WHITE_SPACE)
        if not text.startswith("[") or not isinstance(json.loads(text), list):
            return [value]
    except (ValueError, RecursionError):
        return [value]
    decoder, items, position = json.JSONDecoder(), [], _after(text, 1, "")
    while text[position] != "]":
        item, end = decoder.raw_decode(text, position)
        match item:
            case str():
                items.append(item.encode(errors="replace"))
            case None:
                items.append(b"")
            case _:
                items.append(text[position:end].encode())
        position = _after(text, end, ",")
    return items


def _after(text: str, position: int, separator: str) -> int:
    """The place of the next thing at or after `position`, beyond white space and one `separator`."""
    while text[position] in _WHITE_SPACE:
        position += 1
    if separator and text[position] == separator:
        return _after(text, position + 1, "")
    return position
