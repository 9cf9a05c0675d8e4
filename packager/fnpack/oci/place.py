"""Says where in an image packages go."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where wheels are installed in the image.

    `root` is absolute; `interpreter` runs console scripts, and without one there are none. `is_slim` leaves out what
    only building and debugging need.
    """

    root: str
    interpreter: str | None = None
    is_slim: bool = False
