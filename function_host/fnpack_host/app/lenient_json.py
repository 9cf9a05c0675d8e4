"""JSON as the Azure Functions host accepts it: with comments, trailing commas and a byte-order mark."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fnpack_host.errors import AppDirectoryError
from fnpack_triggers.base import Json

_STRING_OR_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_STRING_OR_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])', re.DOTALL)
MAX_SIZE_BYTES = 10 * 1024 * 1024


def parse_json(text: str) -> Json:
    """Parse lenient JSON. Raises json.JSONDecodeError, whose line and column are those of `text`."""
    text = text.removeprefix("\ufeff")
    text = _STRING_OR_COMMENT.sub(lambda m: m[1] or re.sub(r"[^\n]", " ", m[0]), text)
    text = _STRING_OR_TRAILING_COMMA.sub(lambda m: m[1] or " ", text)
    try:
        parsed: Json = json.loads(text)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", text, 0) from error
    return parsed


def read_json_object(path: Path) -> dict[str, Json]:
    """Read a file that holds one JSON object. Raises AppDirectoryError that says where the file breaks."""
    try:
        if path.stat().st_size > MAX_SIZE_BYTES:
            raise AppDirectoryError(f"{path} is larger than {MAX_SIZE_BYTES} bytes")
        parsed = parse_json(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise AppDirectoryError(f"{path}, line {error.lineno}, column {error.colno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise AppDirectoryError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise AppDirectoryError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a number of absurd length
        raise AppDirectoryError(f"{path}: {error}") from error
    if not isinstance(parsed, dict):
        raise AppDirectoryError(f"{path} must hold a JSON object, not {type(parsed).__name__}")
    return parsed
