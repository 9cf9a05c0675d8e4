"""Layers of installed packages: one for each large wheel, one for all small ones."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fnpack.dependencies.wheels import WheelFile
from fnpack.oci.commands import command, for_image
from fnpack.oci.compiled import compiled, interpreter
from fnpack.oci.elf import without_debug_information
from fnpack.oci.errors import ContentClash
from fnpack.oci.recipes import key_of
from fnpack.oci.wheel import Member, Wheel
from fnpack.oci.writer import LayerWriter

LARGE_BYTES = 5 * 1000 * 1000
MOST_LAYERS = 30
_STORE_BELOW_BYTES = 256
_UNNEEDED = (".c", ".cpp", ".h", ".pxd", ".pxi", ".pyi", ".pyx")  # what no running program reads


@dataclass(frozen=True)
class WheelRecipe:
    """A layer of wheels installed below `site`, a path in the image without a leading slash.

    `fetch` makes the wheels' files be there; it is called before they are read. `skipped` are (package, path) pairs
    that another package overwrites. With `is_slim` what the host does not need is left out: commands, sources for
    compilers, type stubs, debug information.
    """

    wheels: tuple[WheelFile, ...]
    site: str
    python_version: str
    skipped: frozenset[tuple[str, str]] = frozenset()
    is_slim: bool = False
    fetch: Callable[[], None] = field(default=lambda: None, compare=False)
    is_gzip: bool = field(default=True, init=False)

    @cached_property
    def key(self) -> str:
        """Of the wheels' hashes, the place and the Python."""
        return key_of(
            "wheels-with-commands",
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
        self.fetch()
        for file in self.wheels:
            with Wheel(file) as wheel:
                self._lay_out(wheel, writer)

    def _lay_out(self, wheel: Wheel, writer: LayerWriter) -> None:
        kept = [one for one in wheel.members if self._is_kept(wheel.file.name, one)]
        modules = [one for one in kept if one.path.endswith(".py") and not one.is_script]
        compiled_modules = compiled(
            {f"{self.site}/{one.path}": wheel.read(one) for one in modules}, self.python_version
        )
        taken = {one.path for one in kept}
        commands = {} if self.is_slim else {f"bin/{name}": to for name, to in wheel.script_names().items()}
        commands = {path: to for path, to in commands.items() if path not in taken}
        added = [*(path.removeprefix(f"{self.site}/") for path in compiled_modules), *commands]
        record, text = wheel.record(kept, added)
        for member in kept:
            path = f"{self.site}/{member.path}"
            if member.path == record:
                writer.file(path, text)
            elif member.is_script:
                writer.file(path, for_image(wheel.read(member)), is_executable=True)
            elif self.is_slim and _is_library(member.path):
                library = without_debug_information(wheel.read(member))
                _deflate(library, path, writer, is_executable=member.is_executable)
            else:
                _copy(wheel, member, path, writer)
        for path, content in sorted(compiled_modules.items()):
            _deflate(content, path, writer)
        for path, target in sorted(commands.items()):
            writer.file(f"{self.site}/{path}", command(target), is_executable=True)

    def _is_kept(self, package: str, member: Member) -> bool:
        is_unneeded = self.is_slim and (member.is_script or member.path.endswith(_UNNEEDED))
        return (package, member.path) not in self.skipped and not is_unneeded


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

    def fetching(group: tuple[WheelFile, ...]) -> Callable[[], None]:
        return lambda: fetch(group)

    return tuple(
        WheelRecipe(group, site, python_version, skipped, is_slim, fetching(group)) for group in groups
    )


def overwritten(wheels: Iterable[WheelFile]) -> frozenset[tuple[str, str]]:
    """The (package, path) pairs that a later package, by name, has too with other content: pip overwrites such files.

    Raises ContentClash where a path is a file in one and a folder in another.
    """
    owners: dict[str, tuple[str, int]] = {}
    folders: dict[str, str] = {}
    lost: set[tuple[str, str]] = set()
    for file in sorted(wheels, key=lambda one: one.name):
        with Wheel(file) as wheel:
            for member in wheel.members:
                before = owners.get(member.path)
                if before is not None and before[1] != member.info.CRC:
                    lost.add((before[0], member.path))
                owners[member.path] = (file.name, member.info.CRC)
                parts = member.path.split("/")[:-1]
                for end in range(1, len(parts) + 1):
                    folders.setdefault("/".join(parts[:end]), file.name)
    for path in sorted(owners.keys() & folders.keys()):
        raise ContentClash(
            f"`{path}` is a file of {owners[path][0]} and a folder of {folders[path]}",
            hint="the two packages cannot be installed together; leave one out",
        )
    return frozenset(lost)


def _is_library(path: str) -> bool:
    return path.endswith(".so") or ".so." in path.rpartition("/")[2]


def _deflate(content: bytes, path: str, writer: LayerWriter, *, is_executable: bool = False) -> None:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    raw = deflater.compress(content) + deflater.flush()
    writer.deflated(path, [raw], len(content), zlib.crc32(content), is_executable=is_executable)


def _copy(wheel: Wheel, member: Member, path: str, writer: LayerWriter) -> None:
    info, executable = member.info, member.is_executable
    try:
        if info.file_size <= _STORE_BELOW_BYTES:
            writer.file(path, wheel.read(member), is_executable=executable)
        elif info.compress_type == zipfile.ZIP_DEFLATED:
            writer.deflated(path, wheel.raw(member), info.file_size, info.CRC, is_executable=executable)
        else:
            writer.stream(path, wheel.raw(member), info.file_size, is_executable=executable)
    except (ValueError, zlib.error) as error:
        raise wheel.damaged(member, error) from error
