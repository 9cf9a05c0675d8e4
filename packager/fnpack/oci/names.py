"""Decides which paths may stand in a layer. Strangers write them: wheels, source folders, base images."""

from __future__ import annotations

_LONGEST_PATH, _LONGEST_PART = (
    4000,
    255,
)  # Linux: PATH_MAX less the place that a layer is unpacked at, NAME_MAX


def fault(path: str) -> str | None:
    """What is wrong with a relative path of a file, in words that follow the path; None if nothing is."""
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return "is not text"
    if not path:
        return "is empty"
    if path.startswith("/") or (path[1:2] == ":" and path[0].isalpha()):
        return "is absolute"
    if any(letter < " " or letter == "\x7f" for letter in path):
        return "has a control character"
    if len(encoded) > _LONGEST_PATH:
        return f"is longer than {_LONGEST_PATH} bytes"
    parts = path.split("/")
    if ".." in parts:
        return "leads out of its folder"
    if "" in parts or "." in parts:
        return "is not in its shortest form"
    if any(len(part.encode("utf-8")) > _LONGEST_PART for part in parts):
        return f"has a name of more than {_LONGEST_PART} bytes"
    if any(part.startswith(".wh.") for part in parts):
        return "has a name that deletes files of lower layers"
    return None


def shown(path: str) -> str:
    """The path for a message: short, on one line."""
    text = (
        path.encode("unicode_escape", "backslashreplace").decode("ascii") if not path.isprintable() else path
    )
    return text if len(text) <= 160 else f"{text[:100]}...{text[-50:]}"


def folders_of(paths: list[str]) -> list[str]:
    """Every folder above the paths, each once, parents first."""
    found: set[str] = set()
    for path in paths:
        while (cut := path.rfind("/")) > 0:
            path = path[:cut]  # noqa: PLW2901 - climbs
            if path in found:
                break
            found.add(path)
    return sorted(found)
