"""Says what an installed wheel consists of: which member goes where, and what an installer writes itself.

Everything goes below one folder, as `pip install --target` has it: packages and data at its top, scripts in `bin`,
headers in `include`. The wheel's members are not read, but for entry points, scripts and what is made smaller.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from fnpack.oci.names import fault
from fnpack.oci.place import Place
from fnpack.oci.wheel import Member, Wheel, record_digest

INSTALLER = b"fnpack\n"
_BUILD_ONLY = (".c", ".cpp", ".h", ".pxd", ".pxi", ".pyi", ".pyx")  # what no running program reads
_TESTS = re.compile(r"(^|/)tests?/")
_SCRIPT_LINE = re.compile(rb"^#!python[w]?(?=[ \t\r\n]|$)[^\n]*")
_OBJECT = re.compile(r"^(?P<module>[A-Za-z_][\w.]*)\s*:\s*(?P<attribute>[A-Za-z_][\w.]*)\s*(\[[^\]]*\])?\s*$")
_SCRIPT_NAME = re.compile(r"^[A-Za-z0-9_.][A-Za-z0-9_.+-]*$")
_SCRIPT = """#!{interpreter}
import sys

sys.path.insert(0, "{root}")
from {module} import {first}

sys.exit({attribute}())
"""


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """A file below the root: a member as it is, or `data` written in its stead or by us."""

    path: str
    member: Member | None = None
    data: bytes | None = field(default=None, repr=False)
    is_executable: bool = False


def installed_files(wheel: Wheel, place: Place, file: BinaryIO) -> list[InstalledFile]:
    """What the wheel becomes, sorted by path, without compiled modules and RECORD. Raises WheelInvalid."""
    found: dict[str, InstalledFile] = {}
    for one in (*_members(wheel, place, file), *_scripts(wheel, place, file), *_notes(wheel)):
        if one.path in found:
            raise wheel.broken(one.path, "would be installed twice")
        found[one.path] = one
    for path in found:
        above = path
        while (cut := above.rfind("/")) > 0:
            above = above[:cut]
            if above in found:
                raise wheel.broken(above, "would be both a file and a folder")
    return [found[path] for path in sorted(found)]


def record_text(wheel: Wheel, files: Iterable[InstalledFile], compiled: Iterable[str]) -> bytes:
    """RECORD of what was really installed; compiled modules have no digest, as pip has it."""
    import csv
    import io

    rows: list[tuple[str, str, str]] = [(path, "", "") for path in compiled]
    for one in files:
        if one.data is not None:
            digest = record_digest(hashlib.sha256(one.data).digest())
            rows.append((one.path, digest, str(len(one.data))))
        elif one.member is not None:
            rows.append((one.path, wheel.record.get(one.member.name) or "", str(one.member.size_bytes)))
    rows.append((record_path(wheel), "", ""))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    return text.getvalue().encode("utf-8")


def record_path(wheel: Wheel) -> str:
    """Where RECORD is."""
    return f"{wheel.dist_info}/RECORD"


def _members(wheel: Wheel, place: Place, file: BinaryIO) -> Iterator[InstalledFile]:
    own = {f"{wheel.dist_info}/{name}" for name in ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER")}
    for member in wheel.members.values():
        if member.name in own:
            continue
        path, is_script = _target(wheel, member)
        if "/__pycache__/" in f"/{path}":  # compiled by a stranger, and not to be told from their source
            continue
        if place.is_slim and (path.startswith("bin/") or path.endswith(_BUILD_ONLY)):
            continue
        one = InstalledFile(path, member, is_executable=member.is_executable)
        if is_script:
            if place.interpreter is None:
                continue
            data = _SCRIPT_LINE.sub(b"#!" + place.interpreter.encode(), wheel.read(member, file), count=1)
            one = replace(one, data=data, is_executable=True)
        elif place.is_slim and (path.endswith(".so") or ".so." in path):
            one = _slimmed(wheel, one, member, file)
        yield one


def _target(wheel: Wheel, member: Member) -> tuple[str, bool]:
    """(path below the root, whether it is a script)."""
    if not member.name.startswith(f"{wheel.data_folder}/"):
        return member.name, False
    kind, _, rest = member.name[len(wheel.data_folder) + 1 :].partition("/")
    match kind if rest else "":
        case "purelib" | "platlib" | "data":
            return rest, False
        case "scripts":
            return f"bin/{rest}", True
        case "headers":
            return f"include/{wheel.dist_info.partition('-')[0]}/{rest}", False
    raise wheel.broken(member.name, "goes to a place that wheels do not have")


def _slimmed(wheel: Wheel, one: InstalledFile, member: Member, file: BinaryIO) -> InstalledFile:
    """Without debug information, if that is most of it: what is cut has to be stored uncompressed."""
    from fnpack.oci.elf import without_debug_information

    data = wheel.read(member, file)
    cut = without_debug_information(data)
    return replace(one, data=cut) if len(cut) <= member.packed_bytes else one


def _notes(wheel: Wheel) -> Iterator[InstalledFile]:
    yield InstalledFile(f"{wheel.dist_info}/INSTALLER", data=INSTALLER)


def _scripts(wheel: Wheel, place: Place, file: BinaryIO) -> Iterator[InstalledFile]:
    """Console scripts that find their package wherever they are called from."""
    name = f"{wheel.dist_info}/entry_points.txt"
    member = wheel.members.get(name)
    if member is None or place.interpreter is None or place.is_slim:
        return
    for script, target in _entry_points(wheel, name, wheel.read(member, file)):
        found = _OBJECT.match(target)
        if found is None or fault(script) or not _SCRIPT_NAME.match(script):
            raise wheel.broken(name, f"has a console script that cannot be written: `{script} = {target}`")
        text = _SCRIPT.format(
            interpreter=place.interpreter,
            root=place.root,
            module=found["module"],
            first=found["attribute"].partition(".")[0],
            attribute=found["attribute"],
        )
        yield InstalledFile(f"bin/{script}", data=text.encode(), is_executable=True)


def _entry_points(wheel: Wheel, name: str, data: bytes) -> list[tuple[str, str]]:
    import configparser

    parser = configparser.RawConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
    try:
        parser.read_string(data.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as exc:
        raise wheel.broken(name, f"cannot be read: {str(exc).splitlines()[0]}") from exc
    found: Mapping[str, str] = {}
    for section in ("console_scripts", "gui_scripts"):
        if parser.has_section(section):
            found = {**found, **dict(parser.items(section))}
    return sorted(found.items())


def modules(files: Iterable[InstalledFile], left_out: Set[str] = frozenset()) -> list[InstalledFile]:
    """The modules worth compiling: not scripts, and not the tests that packages bring along."""
    return [
        one
        for one in files
        if one.path.endswith(".py")
        and one.path not in left_out
        and not one.path.startswith("bin/")
        and not _TESTS.search(one.path)
    ]
