"""Layers of installed packages: one for each large wheel, one for all small ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from fnpack.dependencies.wheels import WheelFile
from fnpack.oci.compiled import interpreter
from fnpack.oci.recipes import key_of

if TYPE_CHECKING:
    from fnpack.oci.writer import LayerWriter

LARGE_BYTES = 5 * 1000 * 1000
MOST_LAYERS = 30


class WheelRecipe:
    """A layer of wheels installed below `site`, a path in the image without a leading slash.

    `fetch` makes the wheels' files be there; it is called before they are read. `skipped` are (package, path) pairs
    that another package overwrites. `size_bytes` is what the wheels weigh, where that is known. With `is_slim` what
    the host does not need is left out: commands, sources for compilers, type stubs, debug information.
    """

    is_gzip = True

    def __init__(  # noqa: PLR0917 - a record
        self,
        wheels: tuple[WheelFile, ...],
        site: str,
        python_version: str,
        skipped: frozenset[tuple[str, str]] = frozenset(),
        is_slim: bool = False,
        size_bytes: int = 0,
        fetch: Callable[[], None] = lambda: None,
    ) -> None:
        self.wheels, self.site, self.python_version = wheels, site, python_version
        self.skipped, self.is_slim, self.size_bytes, self.fetch = skipped, is_slim, size_bytes, fetch

    @cached_property
    def key(self) -> str:
        """Of the wheels' hashes, the place and the Python."""
        return key_of(
            "wheels-deflated-at-4",
            wheels=[wheel.sha256 for wheel in self.wheels],
            site=self.site,
            python=self.python_version,
            compiled=interpreter(self.python_version) is not None,
            skipped=sorted(pair for pair in self.skipped if any(pair[0] == one.name for one in self.wheels)),
            slim=self.is_slim,
        )

    @property
    def title(self) -> str:
        """The package, or how many there are."""
        if len(self.wheels) == 1:
            return f"{self.wheels[0].name} {self.wheels[0].version}"
        names = ", ".join(wheel.name for wheel in self.wheels)
        return names if len(names) <= 60 else f"{len(self.wheels)} small packages"

    def write(self, writer: LayerWriter) -> None:
        """Lay the wheels out. Raises UnsafeContent."""
        from fnpack.oci.installed import lay_out

        self.fetch()
        for file in self.wheels:
            lay_out(file, self, writer)


def wheel_recipes(
    wheels: Sequence[WheelFile],
    site: str,
    python_version: str,
    *,
    sizes: Callable[[WheelFile], int],
    is_slim: bool = False,
    skipped: frozenset[tuple[str, str]] = frozenset(),
    fetch: Callable[[Sequence[WheelFile]], None] = lambda _: None,
) -> tuple[WheelRecipe, ...]:
    """The layers for `wheels`: the largest (by `sizes`, bytes) on their own, at most MOST_LAYERS, the rest together."""
    ordered = sorted(wheels, key=lambda one: (-sizes(one), one.name))
    large = [one for one in ordered[:MOST_LAYERS] if sizes(one) > LARGE_BYTES]
    small = [one for one in ordered if one not in large]
    groups = [(one,) for one in sorted(large, key=lambda one: one.name)]
    if small:
        groups.append(tuple(sorted(small, key=lambda one: one.name)))  # type: ignore[arg-type]

    def recipe(group: tuple[WheelFile, ...]) -> WheelRecipe:
        weight = sum(map(sizes, group))
        return WheelRecipe(group, site, python_version, skipped, is_slim, weight, lambda: fetch(group))

    return tuple(recipe(group) for group in groups)
