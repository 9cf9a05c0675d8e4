"""From a sample value to its schema, in the part of JSON Schema that all versions of OpenAPI share."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable
from typing import cast

Schema = dict[str, object]
_SCALARS: tuple[tuple[type, Schema], ...] = (
    (bool, {"type": "boolean"}),
    (int, {"type": "integer", "format": "int64"}),
    (float, {"type": "number", "format": "double"}),
    (str, {"type": "string"}),
    (bytes, {"type": "string", "format": "byte"}),
    (bytearray, {"type": "string", "format": "byte"}),
    (dt.datetime, {"type": "string", "format": "date-time"}),
    (dt.date, {"type": "string", "format": "date"}),
    (dt.time, {"type": "string", "format": "time"}),
)
ANY: Schema = {}  # samples of different types
UNKNOWN: Schema = {}  # no sample but None; told from ANY by identity


def schema_of(value: object) -> tuple[Schema, object]:
    """The schema of a sample value, and the sample as JSON has it. A value that knows its own schema is asked."""
    own = getattr(value, "input_to_swagger", None)
    if callable(own):
        schema = dict(cast("Schema", own()))
        return schema, schema.pop("example", None)
    match value:
        case dict():
            return _of_object(value)
        case list() | tuple() | range():
            return _of_array(value)
        case None:
            return UNKNOWN, None
        case bytes() | bytearray():
            return dict(_SCALARS[4][1]), base64.b64encode(value).decode()
        case dt.datetime() | dt.time():
            zoned = value if value.tzinfo is not None else value.replace(tzinfo=dt.timezone.utc)
            return _scalar(value), zoned.isoformat()
        case dt.date():
            return _scalar(value), value.isoformat()
    return _scalar(value), value


def mixes_types(example: object) -> bool:
    """Whether there is a list of several types in it, for which Swagger 2 has no form."""
    match example:
        case list():
            return len({type(one) for one in example}) > 1 or any(mixes_types(one) for one in example)
        case dict():
            return any(mixes_types(one) for one in example.values())
    return False


def _scalar(value: object) -> Schema:
    for kind, schema in _SCALARS:
        if isinstance(value, kind):
            return dict(schema)
    return {"type": "object"}


def _of_object(sample: dict[object, object]) -> tuple[Schema, object]:
    properties: dict[str, object] = {}
    example: dict[str, object] = {}
    for key, value in sample.items():
        properties[str(key)], example[str(key)] = schema_of(value)
    schema: Schema = {"type": "object", "required": list(properties), "properties": properties}
    if not properties:
        del schema["required"]  # must not be empty
    return schema, example


def _of_array(sample: Iterable[object]) -> tuple[Schema, object]:
    pairs = [schema_of(value) for value in sample]
    items = UNKNOWN
    for schema, _ in pairs:
        items = _common(items, schema)
    return {"type": "array", "items": items}, [example for _, example in pairs]


def _common(one: Schema, other: Schema) -> Schema:
    """What two samples of one thing have in common; ANY where they are of different types."""
    if one is UNKNOWN or other is UNKNOWN:
        return one if other is UNKNOWN else other
    kinds = {one.get("type"), other.get("type")}
    if kinds == {"integer", "number"}:
        return {"type": "number", "format": "double"}
    if len(kinds) > 1 or ANY in (one, other):
        return ANY
    match one.get("type"):
        case "array":
            pair = (cast("Schema", each.get("items", UNKNOWN)) for each in (one, other))
            return {**one, "items": _common(*pair)}
        case "object":
            return _common_object(one, other)
    return one


def _common_object(one: Schema, other: Schema) -> Schema:
    first, second = (cast("dict[str, Schema]", each.get("properties", {})) for each in (one, other))
    properties = {
        name: _common(first.get(name, UNKNOWN), second.get(name, UNKNOWN)) for name in {**first, **second}
    }
    needed = cast("list[str]", other.get("required", []))
    required = [name for name in cast("list[str]", one.get("required", [])) if name in needed]
    return {"type": "object", **({"required": required} if required else {}), "properties": properties}
