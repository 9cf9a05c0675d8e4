"""Labels of any length. containerd makes no container of an image with a longer one than 4096 bytes, so the rest of a
text stands in labels that are numbered: `NAME.2`, `NAME.3`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MOST_BYTES = 4096  # of name and value together (containerd, package labels)


def in_pieces(name: str, text: str) -> dict[str, str]:
    """The labels that hold `text`, which is ASCII: one of the name itself, and more where one is too short for it."""
    size = MOST_BYTES - len(name) - len(".999")
    pieces = [text[start : start + size] for start in range(0, len(text), size)] or [""]
    return dict(zip(_names(name), pieces, strict=False))


def whole(labels: Mapping[str, object], name: str) -> str:
    """What `in_pieces` took apart; "" where there is no such label."""
    pieces = []
    for one in _names(name):
        piece = labels.get(one)
        if not isinstance(piece, str):
            break
        pieces.append(piece)
    return "".join(pieces)


def _names(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}.{number}"
        number += 1
