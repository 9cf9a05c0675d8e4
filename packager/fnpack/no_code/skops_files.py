"""skops files: a zip with schema.json, which names every class and holds no code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from fnpack.no_code.found import Found, NoCodeError, counted, start_of
from fnpack.no_code.scikit_learn import pandas_for, pinned

_SCHEMA = "schema.json"
_LARGEST_SCHEMA = 256 << 20
_TRUSTED = (
    "sklearn",
    "numpy",
    "scipy",
    "builtins",
    "collections",
    "functools",
    "operator",
    "joblib",
    "random",
)


def matches(path: Path) -> bool:
    """Whether it is a zip with a schema.json that skops wrote."""
    if not start_of(path).startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as file:
            return _SCHEMA in file.namelist()
    except zipfile.BadZipFile:
        return False


def find(path: Path) -> Found:
    """What the schema says. Raises NoCodeError for classes that skops does not trust by itself."""
    try:
        with zipfile.ZipFile(path) as file:
            if file.getinfo(_SCHEMA).file_size > _LARGEST_SCHEMA:
                raise NoCodeError(f"`{path.name}`: its {_SCHEMA} is too large to be looked into")
            root = json.loads(file.read(_SCHEMA))
    except (zipfile.BadZipFile, ValueError, RecursionError) as error:
        raise NoCodeError(
            f"`{path.name}`: its {_SCHEMA} cannot be read: {error}", hint="save the model again"
        ) from error
    if not isinstance(root, dict):
        raise NoCodeError(f"`{path.name}`: its {_SCHEMA} is no object", hint="save the model again")
    nodes = list(_nodes(root))
    classes = {f"{node.get('__module__')}.{node.get('__class__')}" for node in nodes}
    foreign = sorted(name for name in classes if name.partition(".")[0] not in (*_TRUSTED, "None"))
    if foreign:
        raise NoCodeError(
            f"`{path.name}` holds {', '.join(f'`{name}`' for name in foreign[:3])}, which skops trusts only if told to",
            hint="give an entry script that names them: `skops.io.load(path, trusted=[...])`",
        )
    version = _value(nodes, "_sklearn_version")
    features = _value(nodes, "n_features_in_")
    skops_version = root.get("_skops_version")
    number = features if isinstance(features, int) else None
    columns = _texts(nodes, "feature_names_in_")
    text = version if isinstance(version, str) else None
    requirements = (
        pinned("scikit-learn", text),
        pinned("skops", skops_version if isinstance(skops_version, str) else None),
        *([pandas_for(text)] if columns else []),
    )
    name = str(root.get("__class__"))
    return Found(
        "scikit-learn",
        text,
        "scikit_learn",
        requirements,
        {"FEATURES": number, "COLUMNS": columns, "SKOPS": True},
        ", ".join(part for part in (name, counted(number, "feature"), "skops") if part),
    )


def _nodes(value: object) -> Iterator[dict[str, object]]:
    """Every node of the tree, in the order of the file."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            node = cast("dict[str, object]", one)
            if "__class__" in node:
                yield node
            waiting.extend(reversed(list(node.values())))
        elif isinstance(one, list):
            waiting.extend(reversed(one))


def _texts(nodes: list[dict[str, object]], name: str) -> tuple[str, ...]:
    """The texts of the first array of that name; () where they are no texts."""
    for node in nodes:
        content = node.get("content")
        array = content.get(name) if isinstance(content, dict) else None
        items = array.get("content") if isinstance(array, dict) else None
        if isinstance(items, list):
            return tuple(value for one in items if isinstance(value := _plain(one), str))
    return ()


def _plain(node: object) -> object:
    """The value of a node of plain JSON, else None."""
    if isinstance(node, dict) and node.get("is_json") and isinstance(node.get("content"), str):
        try:
            return cast("object", json.loads(node["content"]))
        except ValueError:
            return None
    return None


def _value(nodes: list[dict[str, object]], name: str) -> object:
    """The first plain value of an attribute, wherever it is."""
    for node in nodes:
        content = node.get("content")
        value = _plain(content.get(name)) if isinstance(content, dict) else None
        if value is not None:
            return value
    return None
