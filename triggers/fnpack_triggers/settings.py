"""How a setting is found by name: any case, `__` in an environment variable standing for `:`."""

from __future__ import annotations

from collections.abc import Mapping


def find_setting(settings: Mapping[str, str], name: str) -> str | None:
    """The value of `name` in `settings`, or None. An exact name wins over one in another case or nesting form."""
    if name in settings:
        return settings[name]
    wanted = _canonical(name)
    return next((value for key, value in settings.items() if _canonical(key) == wanted), None)


def _canonical(name: str) -> str:
    return name.replace("__", ":").lower()
