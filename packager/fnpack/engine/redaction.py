"""Takes build secrets out of text that will be shown: a step may print what it was given."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

MASK = "***"
_SHORTEST_PART = 6  # a shorter line or value ("true", "60") is in every log and gives nothing away
_USER_INFO = re.compile(r"//([^/\s]+)@")


class Redactor:
    """Masks each secret, each of its lines, the right-hand side of `key = value` lines and credentials in URLs."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        parts: set[str] = set()
        for secret in secrets:
            parts |= _parts(secret.decode("utf-8", "replace"))
        longest_first = sorted(parts, key=lambda part: (-len(part), part))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """`text` with every part of every secret masked."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def _parts(secret: str) -> set[str]:
    parts = {secret.strip()}
    for line in secret.splitlines():
        pieces = {line.strip(), line.partition("=")[2].strip()}
        parts |= {piece for piece in pieces if len(piece) >= _SHORTEST_PART}
    for user_info in _USER_INFO.findall(secret):
        user, _, password = user_info.partition(":")
        parts |= {user_info, password or user, unquote(password or user)}
    return parts - {""}
