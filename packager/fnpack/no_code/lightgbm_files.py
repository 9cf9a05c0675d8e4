"""LightGBM's text files: the header says all that is needed."""

from __future__ import annotations

import re
from pathlib import Path

from fnpack.no_code.found import Found, NoCodeError, counted, start_of

GOMP = "lightgbm needs libgomp.so.1, which slim base images lack: name a --base-image that has it (libgomp1)"
_TAIL = 1 << 16


def matches(path: Path) -> bool:
    """Whether the file begins as LightGBM's do: `tree`, then `version=`."""
    return re.match(rb"tree\r?\nversion=v\d", start_of(path)) is not None


def find(path: Path) -> Found:
    """Form, number and names of the features. Raises NoCodeError for columns that were categories of pandas."""
    header = _header(path)
    form, last = header.get("version", ""), header.get("max_feature_idx", "")
    if not re.fullmatch(r"\d{1,9}", last):
        raise NoCodeError(f"`{path.name}` does not say how many features it has", hint="save the model again")
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL))
        categories = re.search(rb"pandas_categorical:(.*)", file.read())
    if categories and categories[1].strip() not in (b"null", b"[]", b""):
        raise NoCodeError(
            f"`{path.name}` was trained with categorical columns of pandas, which JSON cannot say",
            hint="give an entry script that makes the data frame, or train with numbers",
        )
    features = int(last) + 1
    names = tuple(header.get("feature_names", "").split(" "))
    named = names if len(names) == features and names != tuple(f"Column_{i}" for i in range(features)) else ()
    least = "4" if form == "v4" else "3"
    return Found(
        "LightGBM",
        None,
        "lightgbm_model",
        (f"lightgbm>={least}", "numpy"),
        {"FEATURES": features, "COLUMNS": named},
        ", ".join(
            (f"form {form}", header.get("objective", "").partition(" ")[0], counted(features, "feature"))
        ),
        notes=(GOMP,),
    )


def _header(path: Path) -> dict[str, str]:
    """The lines `key=value` before the first tree. Names of many features make it long."""
    found: dict[str, str] = {}
    with path.open("rb") as file:
        for line in iter(lambda: file.readline(64 << 20), b""):
            text = line.decode("utf-8", "replace").strip()
            if text.startswith("Tree=") or file.tell() > (256 << 20):
                break
            key, equals, value = text.partition("=")
            if equals:
                found[key] = value
    return found
