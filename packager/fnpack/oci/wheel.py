"""Reads a wheel for a layer: which of its members go where, checked, with their bytes still compressed.

Source: the binary distribution format (PyPA), and PKWARE's APPNOTE for the zip container.
"""

from __future__ import annotations

import csv
import io
import struct
import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from fnpack.dependencies.wheels import WheelFile
from fnpack.oci.commands import command_names
from fnpack.oci.errors import UnsafeContent
from fnpack.oci.inflating import InflateError, crc32, decompressobj
from fnpack.oci.safe_paths import checked

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_CHUNK_BYTES = 1 << 20
_MOST_MEMBERS = 200_000
_DEFLATE_MAX_RATIO = 1040  # what the format can reach (RFC 1951)
_HINT = "nothing was built; use another release of the package, and tell its authors"


class Member(NamedTuple):
    """A file of a wheel. `path` is where it goes below site-packages, `bin/NAME` for a script."""

    path: str
    info: zipfile.ZipInfo
    is_executable: bool
    is_script: bool = False


class Wheel:
    """An open wheel; a context manager. Raises UnsafeContent for one that must not be unpacked."""

    def __init__(self, file: WheelFile) -> None:
        self.file = file
        self._stream: BinaryIO = file.path.open("rb")
        try:
            self._zip = zipfile.ZipFile(self._stream)
            self.members = tuple(_members(file, self._zip.infolist(), file.path.stat().st_size))
        except zipfile.BadZipFile as error:
            self._stream.close()
            raise self._unsafe("is not a wheel", str(error)) from error
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Wheel:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def raw(self, member: Member) -> Iterator[bytes]:
        """The member's bytes as they stand in the file, compressed or stored."""
        self._stream.seek(member.info.header_offset)
        head = self._stream.read(_LOCAL_HEADER.size)
        if len(head) < _LOCAL_HEADER.size or not head.startswith(b"PK\x03\x04"):
            raise self._unsafe("is damaged", member.info.filename)
        _, name_size, extra_size = _LOCAL_HEADER.unpack(head)
        self._stream.seek(name_size + extra_size, io.SEEK_CUR)
        left = member.info.compress_size
        while left:
            chunk = self._stream.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise self._unsafe("is cut off", member.info.filename)
            left -= len(chunk)
            yield chunk

    def read(self, member: Member) -> bytes:
        """The member's content. Raises UnsafeContent if its checksum is wrong."""
        return self.read_both(member)[0]

    def read_both(self, member: Member) -> tuple[bytes, bytes]:
        """The member's content, and its bytes as they stand in the file. Raises UnsafeContent as `read` does."""
        info, raw = member.info, b"".join(self.raw(member))
        content, ends = raw, True
        if info.compress_type == zipfile.ZIP_DEFLATED:
            inflater = decompressobj(-15)
            try:
                content = inflater.decompress(raw, info.file_size + 1)
            except InflateError as error:
                raise self.damaged(member, error) from error
            ends = inflater.eof and not inflater.unused_data
        if not ends or len(content) != info.file_size or crc32(content) != info.CRC:
            raise self.damaged(member, "its checksum or size is wrong")
        return content, raw

    def script_names(self) -> dict[str, str]:
        """What the wheel's entry points name as commands: `module:function` by name."""
        place = next((one for one in self.members if one.path.endswith(".dist-info/entry_points.txt")), None)
        if place is None:
            return {}
        try:
            return command_names(self.read(place).decode())
        except ValueError as error:
            raise self._unsafe("has entry points that cannot be read", str(error)) from error

    def record(self, kept: Sequence[Member], added: Sequence[str]) -> tuple[str, bytes]:
        """Path and content of RECORD for the `kept` members and the `added` paths (compiled modules, commands)."""
        place = next((m for m in self.members if m.path.endswith(".dist-info/RECORD")), None)
        if place is None:
            raise self._unsafe("has no RECORD", "")
        try:
            rows = {row[0]: row for row in csv.reader(io.StringIO(self.read(place).decode())) if row}
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._unsafe("has a RECORD that cannot be read", str(error)) from error
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for member in sorted(kept, key=lambda one: one.path):
            known = rows.get(member.info.filename, [])
            is_other = member.path == place.path or member.is_script or len(known) != 3
            writer.writerow([member.path, *(["", ""] if is_other else known[1:])])
        for path in sorted(added):
            writer.writerow([path, "", ""])
        return place.path, text.getvalue().encode()

    def damaged(self, member: Member, reason: object) -> UnsafeContent:
        """The error for a member whose bytes do not agree with what the wheel says of them."""
        return self._unsafe("is damaged", f"{member.info.filename}: {reason}")

    def _unsafe(self, what: str, detail: str) -> UnsafeContent:
        return UnsafeContent(
            f"the wheel {self.file.filename} {what}" + (f" ({detail})" if detail else ""), hint=_HINT
        )


def _members(file: WheelFile, infos: Sequence[zipfile.ZipInfo], size_bytes: int) -> Iterator[Member]:
    """The files to lay out. Headers are left out: nothing in an image includes them."""
    owner = f"the wheel {file.filename}"
    if len(infos) > _MOST_MEMBERS:
        raise UnsafeContent(f"{owner} has {len(infos)} files", hint=_HINT)
    seen: set[str] = set()
    end = 0
    for info in sorted(infos, key=lambda one: one.header_offset):
        if info.header_offset < end:
            raise UnsafeContent(f"{owner}: `{info.filename[:200]}` lies over another file", hint=_HINT)
        end = info.header_offset + info.compress_size
    if end > size_bytes:
        raise UnsafeContent(f"{owner} is cut off", hint=_HINT)
    for info in sorted(infos, key=lambda one: one.filename):
        if info.is_dir():
            checked(info.filename.rstrip("/"), owner)
            continue
        name = checked(info.filename, owner)
        _check_info(info, owner)
        target = _target(name, file)
        if target is None:
            continue
        if target in seen:
            raise UnsafeContent(f"{owner} holds `{target}` twice", hint=_HINT)
        seen.add(target)
        is_script = target.startswith("bin/") and not name.startswith("bin/")
        yield Member(target, info, is_script or bool(info.external_attr >> 16 & 0o111), is_script)


def _check_info(info: zipfile.ZipInfo, owner: str) -> None:
    kind = info.external_attr >> 16 & 0o170000
    if kind not in (0, 0o100000):
        raise UnsafeContent(f"{owner}: `{info.filename}` is a link or device, not a file", hint=_HINT)
    if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsafeContent(f"{owner}: `{info.filename}` is encrypted or oddly compressed", hint=_HINT)
    if info.file_size > info.compress_size * _DEFLATE_MAX_RATIO + 1024:
        raise UnsafeContent(f"{owner}: `{info.filename}` cannot be as large as it says", hint=_HINT)


def _target(name: str, file: WheelFile) -> str | None:
    """Where a member goes below site-packages, or None for what stays out."""
    first, _, rest = name.partition("/")
    if not (first.endswith(".data") and rest):
        return name
    scheme, _, inner = rest.partition("/")
    if scheme == "scripts" and inner:
        return f"bin/{inner}"
    return inner if scheme in ("purelib", "platlib", "data") and inner else None
