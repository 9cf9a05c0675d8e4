"""How a wheel lies in a layer: its members as they are, compiled modules, commands, and its record."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable

from fnpack.dependencies.wheels import WheelFile
from fnpack.oci.commands import command, for_image
from fnpack.oci.compiled import compiled
from fnpack.oci.elf import without_debug_information
from fnpack.oci.errors import ContentClash
from fnpack.oci.inflating import InflateError
from fnpack.oci.wheel import Member, Wheel
from fnpack.oci.wheel_layers import WheelRecipe
from fnpack.oci.writer import LayerWriter

_STORE_BELOW_BYTES = 256
_LEVEL = 4  # of compiled modules: 6 makes them 3 % smaller and takes nearly twice the time
_TEST_FOLDERS = frozenset({"test", "tests"})
_UNNEEDED = (".c", ".cpp", ".h", ".pxd", ".pxi", ".pyi", ".pyx")  # what no running program reads


def lay_out(file: WheelFile, recipe: WheelRecipe, writer: LayerWriter) -> None:
    """Install a wheel into a layer. Raises UnsafeContent."""
    with Wheel(file) as wheel:
        _lay_out(wheel, recipe, writer)


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


def _lay_out(wheel: Wheel, recipe: WheelRecipe, writer: LayerWriter) -> None:
    kept = [one for one in wheel.members if _is_kept(recipe, wheel.file.name, one)]
    modules = [one for one in kept if one.path.endswith(".py") and not one.is_script and not _is_test(one)]
    read = {one.path: wheel.read_both(one) for one in modules}
    compiled_modules = compiled(
        {f"{recipe.site}/{path}": content for path, (content, _) in read.items()}, recipe.python_version
    )
    taken = {one.path for one in kept}
    commands = {} if recipe.is_slim else {f"bin/{name}": to for name, to in wheel.script_names().items()}
    commands = {path: to for path, to in commands.items() if path not in taken}
    added = [*(path.removeprefix(f"{recipe.site}/") for path in compiled_modules), *commands]
    record, text = wheel.record(kept, added)
    for member in kept:
        path = f"{recipe.site}/{member.path}"
        if member.path == record:
            writer.file(path, text)
        elif member.is_script:
            writer.file(path, for_image(wheel.read(member)), is_executable=True)
        elif recipe.is_slim and _is_library(member.path):
            library = without_debug_information(wheel.read(member))
            _deflate(library, path, writer, is_executable=member.is_executable)
        else:
            _copy(wheel, member, path, writer, read.get(member.path))
    for path, content in sorted(compiled_modules.items()):
        _deflate(content, path, writer)
    for path, target in sorted(commands.items()):
        writer.file(f"{recipe.site}/{path}", command(target), is_executable=True)


def _is_kept(recipe: WheelRecipe, package: str, member: Member) -> bool:
    is_unneeded = recipe.is_slim and (member.is_script or member.path.endswith(_UNNEEDED))
    return (package, member.path) not in recipe.skipped and not is_unneeded


def _is_test(member: Member) -> bool:
    """Whether a module is of a package's own tests: half of what some have, and nothing imports it."""
    return not _TEST_FOLDERS.isdisjoint(member.path.split("/")[:-1])


def _is_library(path: str) -> bool:
    return path.endswith(".so") or ".so." in path.rpartition("/")[2]


def _deflate(content: bytes, path: str, writer: LayerWriter, *, is_executable: bool = False) -> None:
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    raw = deflater.compress(content) + deflater.flush()
    writer.packed(path, [(content, raw)], len(content), is_executable=is_executable)


def _copy(
    wheel: Wheel, member: Member, path: str, writer: LayerWriter, read: tuple[bytes, bytes] | None
) -> None:
    """Take a member over as it is. `read` is what it holds and its bytes in the wheel, where they are known."""
    info, executable = member.info, member.is_executable
    is_deflated = info.compress_type == zipfile.ZIP_DEFLATED
    try:
        if info.file_size <= _STORE_BELOW_BYTES:
            content = read[0] if read else wheel.read(member)
            writer.file(path, content, is_executable=executable)
        elif read and is_deflated:
            writer.packed(path, [read], info.file_size, is_executable=executable)
        elif is_deflated:
            writer.deflated(path, wheel.raw(member), info.file_size, info.CRC, is_executable=executable)
        else:
            writer.stream(path, wheel.raw(member), info.file_size, is_executable=executable)
    except (ValueError, InflateError) as error:
        raise wheel.damaged(member, error) from error
