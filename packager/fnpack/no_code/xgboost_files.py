"""XGBoost's own files: JSON and UBJSON. Of both only keys, texts and short lists are kept."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import BinaryIO, cast

from fnpack.no_code.found import Found, NoCodeError, counted, start_of
from fnpack.no_code.scikit_learn import pinned

_CONVERT = (
    "load it with the xgboost that wrote it, and save it again: "
    "`booster = xgboost.Booster(model_file=...)`, `booster.save_model('model.ubj')`"
)
_PIECE = 1 << 20
_VERSION = re.compile(rb'"version"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]')
_FEATURES = re.compile(rb'"num_feature"\s*:\s*"(\d+)"')
_OBJECTIVE = re.compile(rb'"objective"\s*:\s*\{[^{}]*?"name"\s*:\s*"([^"]+)"')
_NAMES = re.compile(rb'"feature_names"\s*:\s*(\[[^\[\]]{0,1000000}\])')
_LONGEST_TEXT = 256 << 20
_LONGEST = 1 << 20  # of what the expressions match


def matches(path: Path) -> bool:
    """Whether it is XGBoost's JSON or UBJSON, or its older binary form."""
    start = start_of(path, 128)
    return (
        re.match(rb'\s*\{\s*"learner"\s*:', start) is not None
        or re.match(rb'\s*\{\s*"version"\s*:\s*\[', start) is not None
        or start.startswith((b"{L\0\0\0\0\0\0\0\x07learner", b"{L\0\0\0\0\0\0\0\x07version"))
        or start.startswith((b"binf", b"bs64"))
        or _is_old(path, start)
    )


def find(path: Path) -> Found:
    """Version, number and names of the features. Raises NoCodeError for the older binary form."""
    start = start_of(path)
    if not start.lstrip().startswith(b"{"):
        raise NoCodeError(
            f"`{path.name}` is XGBoost's older binary form, which says no version and is no longer read",
            hint=_CONVERT,
        )
    try:
        facts = _of_ubjson(path) if start.startswith(b"{L") else _of_json(path)
    except (ValueError, struct.error, UnicodeDecodeError) as error:
        raise NoCodeError(
            f"`{path.name}` begins as an XGBoost model, but cannot be read: {error}",
            hint="is the file whole? Save the model again",
        ) from error
    version, features, objective, names = facts
    about = ", ".join(part for part in (objective, counted(features, "feature")) if part)
    return Found(
        "XGBoost",
        version,
        "xgboost_model",
        (pinned("xgboost-cpu", version), "numpy"),
        {"FEATURES": features, "COLUMNS": tuple(names)},
        about,
    )


_Facts = tuple["str | None", "int | None", str, "list[str]"]


def _of_json(path: Path) -> _Facts:
    """The facts of a JSON file, read piece by piece: they are at its beginning and its end."""
    found: dict[re.Pattern[bytes], bytes | tuple[bytes, ...]] = {}
    with path.open("rb") as file:
        held = b""
        while piece := file.read(_PIECE):
            held = held[-_LONGEST:] + piece
            for pattern in (_VERSION, _FEATURES, _OBJECTIVE, _NAMES):
                match = pattern.search(held) if pattern not in found else None
                if match:
                    found[pattern] = match.groups() if pattern is _VERSION else match[1]
    version = found.get(_VERSION)
    text = b".".join(version).decode() if isinstance(version, tuple) else None
    number, objective, names = (found.get(pattern) for pattern in (_FEATURES, _OBJECTIVE, _NAMES))
    return (
        text,
        int(cast("bytes", number)) if number else None,
        cast("bytes", objective).decode() if objective else "",
        [str(one) for one in json.loads(cast("bytes", names))] if names else [],
    )


def _of_ubjson(path: Path) -> _Facts:
    with path.open("rb") as file:
        root = _value(file, file.read(1), 0)
    learner = _at(root, "learner")
    version = _at(root, "version")
    number, objective = _at(learner, "learner_model_param", "num_feature"), _at(learner, "objective", "name")
    names = _at(learner, "feature_names")
    return (
        ".".join(map(str, version)) if isinstance(version, list) and len(version) == 3 else None,
        int(number) if isinstance(number, str) and number.isdecimal() else None,
        objective if isinstance(objective, str) else "",
        [str(one) for one in names] if isinstance(names, list) else [],
    )


def _at(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


# UBJSON as XGBoost writes it: `L` sizes, `#` counts, `$` one type for all items.
_NUMBERS = {
    b"i": ">b",
    b"U": ">B",
    b"I": ">h",
    b"l": ">i",
    b"L": ">q",
    b"d": ">f",
    b"D": ">d",
}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}


def _value(file: BinaryIO, kind: bytes, depth: int) -> object:
    if depth > 50:
        raise ValueError("it is nested too deeply")
    if kind in _NUMBERS:
        return struct.unpack(_NUMBERS[kind], file.read(struct.calcsize(_NUMBERS[kind])))[0]
    if kind in _CONSTANTS:
        return _CONSTANTS[kind]
    if kind == b"S":
        return _text(file, file.read(1))
    if kind == b"[":
        return _array(file, depth)
    if kind == b"{":
        made: dict[str, object] = {}
        while (mark := file.read(1)) != b"}":
            key = _text(file, mark)
            made[key] = _value(file, file.read(1), depth + 1)
        return made
    raise ValueError(f"{kind!r} at byte {file.tell()} is no type of UBJSON")


def _array(file: BinaryIO, depth: int) -> list[object]:
    mark, kind = file.read(1), b""
    if mark == b"$":
        kind, mark = file.read(1), file.read(1)
    if mark == b"#":
        count = _value(file, file.read(1), depth + 1)
        if not isinstance(count, int) or count < 0:
            raise ValueError(f"a list without a count at byte {file.tell()}")
        if kind in _NUMBERS:
            file.seek(count * struct.calcsize(_NUMBERS[kind]), 1)  # weights and the like
            return []
        if kind in _CONSTANTS:
            return []
        return [_value(file, kind or file.read(1), depth + 1) for _ in range(count)]
    items = []
    while mark != b"]":
        items.append(_value(file, mark, depth + 1))
        mark = file.read(1)
    return items


def _text(file: BinaryIO, kind: bytes) -> str:
    size = _value(file, kind, 0)
    if not isinstance(size, int) or not 0 <= size <= _LONGEST_TEXT:
        raise ValueError(f"a text without a size at byte {file.tell()}")
    return file.read(size).decode("utf-8")


def _is_old(path: Path, start: bytes) -> bool:
    """The older binary form begins with numbers; the name of the objective follows within the first 200 bytes."""
    return path.suffix in (".model", ".bin", ".deprecated") and bool(
        re.search(rb"(binary|multi|reg|rank|count|survival):[a-z]", start_of(path, 400))
        and not start.startswith(b"tree")
    )
