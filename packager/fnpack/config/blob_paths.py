"""Checks the blob paths of a trigger with the same parser that runs it."""

from __future__ import annotations

import re

from fnpack.config.problems import Problems
from fnpack.errors import BindingError, PatternError

_SETTING = re.compile(r"%[^%/{}]+%")  # the host replaces it when it starts, so any text may stand there


def check_blob_paths(
    input_path: str, output_path: str, *, input_source: str, output_source: str, problems: Problems
) -> None:
    """Note what is wrong with either path, names that the output cannot know, an output that feeds the input."""
    from fnpack_triggers.blob.pattern import (
        TRIGGER_DATA_NAMES,
        could_match,
        parse_output_path,
        parse_trigger_path,
    )

    pattern = output = None
    try:
        pattern = parse_trigger_path(_without_settings(input_path))
    except BindingError as exc:
        problems.add(input_source, _text(exc, input_path), exc.hint or "write `container/{blobname}.json`")
    try:
        output = parse_output_path(_without_settings(output_path))
        if pattern is not None:
            output.check((*pattern.captures, *TRIGGER_DATA_NAMES))
    except BindingError as exc:
        problems.add(
            output_source, _text(exc, output_path), exc.hint or "write `container/{blobname}_out.json`"
        )
        return
    if pattern is None or _SETTING.search(input_path + output_path):
        return
    if could_match(pattern, output):
        what = f"results at `{output_path}` would match `{input_path}` and be scored again, without end"
        problems.add(output_source, what, "write the results to another container")


def fault_of_output_path(path: str) -> str:
    """What is wrong with the path of an output whose expressions only a call can tell, or nothing."""
    from fnpack_triggers.blob.pattern import parse_output_path

    try:
        parse_output_path(_without_settings(path))
    except BindingError as exc:
        return _text(exc, path)
    return ""


def _without_settings(path: str) -> str:
    return _SETTING.sub(lambda found: "s" * len(found[0]), path)  # same length: positions stay true


def _text(error: BindingError, path: str) -> str:
    if isinstance(error, PatternError):
        return f"`{path}`: {error.reason} at character {error.position + 1}"
    return str(error)
