"""Reads a wheel as a stranger's zip file: every member is checked before one of its bytes is used."""

from __future__ import annotations

import base64
import binascii
import re
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fnpack.oci.errors import WheelInvalid
from fnpack.oci.names import fault, shown
from fnpack.oci.writer import DeflateFault, inflated

STORED, DEFLATED = 0, 8
_ENCRYPTED = 0x1
_LOCAL = struct.Struct("<4s5H3I2H")
_BLOCK_BYTES = 1 << 18
_MOST_MEMBERS = 200_000
_LARGEST_RATIO, _HARMLESS_BYTES = 100, 1 << 28  # unpacked to packed; below that size no ratio is a danger
_LARGEST_BYTES = 1 << 36
_LARGEST_TEXT_BYTES = 1 << 26  # metadata, scripts: what is held in memory
_DIST_INFO = re.compile(r"^([^/]+\.dist-info)/")
_FILENAME = re.compile(
    r"^(?P<name>[^\s/-]+)-(?P<version>[^\s/-]+)(-\d[^\s/-]*)?-[^\s/-]+-[^\s/-]+-[^\s/-]+\.whl$"
)
_UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")  # what RECORD cannot or need not hold the hash of


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a wheel: where its bytes are and what they should be."""

    name: str
    offset: int  # of its local header
    packed_bytes: int
    size_bytes: int
    crc: int
    method: int
    is_executable: bool


@dataclass(frozen=True, slots=True)
class Wheel:
    """A checked wheel. `record` gives what RECORD says of each member: the digest of its SHA-256, where it has one."""

    path: Path
    title: str  # "numpy 2.2.6"
    members: Mapping[str, Member]
    dist_info: str
    record: Mapping[str, str | None]

    @property
    def data_folder(self) -> str:
        """The folder whose parts go to other places than the packages."""
        return self.dist_info.removesuffix(".dist-info") + ".data"

    def deflated(self, member: Member, file: BinaryIO) -> Iterator[bytes]:
        """A member as a raw deflate stream, a block at a time, as it is in the file. Nothing is checked yet."""
        file.seek(_start_of_data(self, member, file))
        blocks = self._packed(member, file)
        return blocks if member.method == DEFLATED else _as_deflated(blocks)

    def unpacked(self, member: Member, file: BinaryIO) -> Iterator[bytes]:
        """A member's bytes, checked at the end. Raises WheelInvalid."""
        try:
            yield from inflated(self.deflated(member, file), member.size_bytes, member.crc)
        except DeflateFault as exc:
            raise self.broken(member.name, str(exc)) from exc

    def read(self, member: Member, file: BinaryIO) -> bytes:
        """A member that is small enough for the memory. Raises WheelInvalid."""
        if member.size_bytes > _LARGEST_TEXT_BYTES:
            raise self.broken(member.name, f"has {member.size_bytes} bytes, too many for what it is")
        return b"".join(self.unpacked(member, file))

    def _packed(self, member: Member, file: BinaryIO) -> Iterator[bytes]:
        left = member.packed_bytes
        while left:
            block = file.read(min(left, _BLOCK_BYTES))
            if not block:
                raise self.broken(member.name, "ends too early")
            left -= len(block)
            yield block

    def broken(self, name: str, what: str) -> WheelInvalid:
        """The error for a member."""
        return WheelInvalid(f"{self.path.name}: `{shown(name)}` {what}")


def read_wheel(path: Path, filename: str | None = None) -> Wheel:
    """The wheel's members, all found harmless, and its RECORD. No content but RECORD's and WHEEL's is read.

    Raises WheelInvalid.
    """
    named = _FILENAME.match(filename or path.name)
    if named is None:
        raise WheelInvalid(f"`{shown(filename or path.name)}` is not the name of a wheel")
    members = _members(path)
    dist_info = _dist_info(path, members, named["name"])
    bare = Wheel(path, f"{named['name'].replace('_', '-')} {named['version']}", members, dist_info, {})
    with path.open("rb") as file:
        _check_version(bare, file)
        record = _record(bare, file)
    return Wheel(path, bare.title, members, dist_info, record)


def _members(path: Path) -> dict[str, Member]:
    import zipfile

    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as exc:
        raise WheelInvalid(f"{path.name} cannot be read as a zip file: {exc}") from exc
    if len(entries) > _MOST_MEMBERS:
        raise WheelInvalid(f"{path.name} has {len(entries)} members, more than {_MOST_MEMBERS}")
    found: dict[str, Member] = {}
    for entry in entries:
        what = _fault(entry, size)
        if what is None and entry.filename in found:
            what = "is in it twice"
        if what:
            raise WheelInvalid(f"{path.name}: `{shown(entry.orig_filename)}` {what}")
        if not entry.is_dir():
            found[entry.filename] = Member(
                entry.filename,
                entry.header_offset,
                entry.compress_size,
                entry.file_size,
                entry.CRC,
                entry.compress_type,
                bool(entry.external_attr >> 16 & 0o111),
            )
    _check_places(path, found, size)
    return found


def _fault(entry: object, file_bytes: int) -> str | None:
    import zipfile

    assert isinstance(entry, zipfile.ZipInfo)
    name = entry.orig_filename
    what = "has a backslash" if "\\" in name else fault(name.removesuffix("/"))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if what is None and kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "is a symbolic link" if kind == stat.S_IFLNK else "is a device or another special file"
    if what is None and entry.flag_bits & _ENCRYPTED:
        what = "is encrypted"
    if what is None and entry.compress_type not in (STORED, DEFLATED):
        what = f"is compressed by method {entry.compress_type}; wheels are deflated"
    if what is None and entry.compress_type == STORED and entry.compress_size != entry.file_size:
        what = "has two different sizes"
    if what is None and entry.header_offset + entry.compress_size > file_bytes:
        what = "lies beyond the end of the file"
    return what


def _check_places(path: Path, members: Mapping[str, Member], file_bytes: int) -> None:
    """Members must not share bytes, be unpacked to absurd sizes, or be a file and a folder at once."""
    end = 0
    for member in sorted(members.values(), key=lambda one: one.offset):
        if member.offset < end:
            raise WheelInvalid(f"{path.name}: `{shown(member.name)}` shares bytes with another member")
        end = member.offset + _LOCAL.size + member.packed_bytes
    total = sum(member.size_bytes for member in members.values())
    if total > _LARGEST_BYTES or (total > _HARMLESS_BYTES and total > _LARGEST_RATIO * file_bytes):
        raise WheelInvalid(f"{path.name} has {file_bytes} bytes and would unpack to {total}: a zip bomb")
    for name in members:
        if (above := _file_above(name, members)) is not None:
            raise WheelInvalid(f"{path.name}: `{shown(above)}` is both a file and a folder")


def _file_above(name: str, members: Mapping[str, Member]) -> str | None:
    while (cut := name.rfind("/")) > 0:
        name = name[:cut]
        if name in members:
            return name
    return None


def _start_of_data(wheel: Wheel, member: Member, file: BinaryIO) -> int:
    """Behind the local header, which must agree with the directory at the zip's end."""
    file.seek(member.offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        raise wheel.broken(member.name, "has no header")
    fields: tuple[int, ...] = _LOCAL.unpack(head)[1:]
    method, name_bytes, extra_bytes = fields[2], fields[-2], fields[-1]
    name = file.read(name_bytes)
    if name not in (member.name.encode("utf-8"), member.name.encode("cp437", "replace")):
        raise wheel.broken(member.name, "has another name in its header")
    if method != member.method:
        raise wheel.broken(member.name, "has another compression method in its header")
    return member.offset + _LOCAL.size + name_bytes + extra_bytes


def _as_deflated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Bytes as stored deflate blocks, so that there is one way for both kinds of members."""
    for block in blocks:
        for start in range(0, len(block), 0xFFFF):
            piece = block[start : start + 0xFFFF]
            length = len(piece)
            yield b"\0" + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little") + piece
    yield b"\1\0\0\xff\xff"


def _dist_info(path: Path, members: Mapping[str, Member], name: str) -> str:
    folders = {match[1] for match in map(_DIST_INFO.match, members) if match}
    if len(folders) != 1:
        listed = ", ".join(f"`{shown(folder)}`" for folder in sorted(folders)) or "none"
        raise WheelInvalid(f"{path.name} must have one .dist-info folder; it has {listed}")
    (folder,) = folders
    if normalised(folder.partition("-")[0]) != normalised(name):
        raise WheelInvalid(f"{path.name}: `{shown(folder)}` is another project's")
    for needed in ("METADATA", "RECORD", "WHEEL"):
        if f"{folder}/{needed}" not in members:
            raise WheelInvalid(f"{path.name} has no `{folder}/{needed}`")
    return folder


def normalised(name: str) -> str:
    """A project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _check_version(wheel: Wheel, file: BinaryIO) -> None:
    name = f"{wheel.dist_info}/WHEEL"
    text = wheel.read(wheel.members[name], file).decode("utf-8", "replace")
    found = re.search(r"^Wheel-Version:\s*(\d+)\.", text, re.MULTILINE)
    if found is None or found[1] != "1":
        raise wheel.broken(name, "is not of a wheel of version 1")


def _record(wheel: Wheel, file: BinaryIO) -> dict[str, str | None]:
    import csv

    name = f"{wheel.dist_info}/RECORD"
    try:
        text = wheel.read(wheel.members[name], file).decode("utf-8")
        rows = [row for row in csv.reader(text.splitlines(), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as exc:
        raise wheel.broken(name, f"cannot be read: {exc}") from exc
    found: dict[str, str | None] = {}
    for row in rows:
        if len(row) != 3:
            raise wheel.broken(name, f"has a row that is not of three: `{shown(','.join(row))}`")
        listed, digest, size = row
        member = wheel.members.get(listed)
        if member is None:
            if listed.endswith("/"):  # a folder, which some tools list
                continue
            raise wheel.broken(name, f"lists `{shown(listed)}`, which is not there")
        if listed in found:
            raise wheel.broken(name, f"lists `{shown(listed)}` twice")
        if size and size != str(member.size_bytes):
            raise wheel.broken(listed, f"has {member.size_bytes} bytes, and RECORD says {shown(size)}")
        found[listed] = _sha256(wheel, listed, digest)
    _check_complete(wheel, found)
    return found


def _sha256(wheel: Wheel, name: str, digest: str) -> str | None:
    """The digest in RECORD's own spelling, or None for another algorithm's that zip and lock stand in for."""
    if not digest:
        if name.removeprefix(f"{wheel.dist_info}/") in _UNLISTED:
            return None
        raise wheel.broken(name, "has no digest in RECORD")
    algorithm, _, value = digest.partition("=")
    if algorithm in ("sha384", "sha512"):
        return None
    try:
        raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if algorithm != "sha256" or len(raw) != 32:
        raise wheel.broken(name, f"has a digest in RECORD that is none: `{shown(digest)}`")
    return record_digest(raw)


def record_digest(digest: bytes) -> str:
    """A SHA-256 as RECORD has it."""
    return "sha256=" + base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def _check_complete(wheel: Wheel, record: Mapping[str, object]) -> None:
    own = {f"{wheel.dist_info}/{name}" for name in _UNLISTED}
    for name in wheel.members:
        if name not in record and name not in own:
            raise wheel.broken(name, "is not in RECORD")
