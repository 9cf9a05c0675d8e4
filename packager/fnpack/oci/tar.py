"""Writes tar headers that depend on name, size and mode alone: no times, no owners, one form for each entry.

POSIX ustar headers, with a pax header before those that have a longer name or a larger size than ustar holds.
"""

from __future__ import annotations

BLOCK_BYTES = 512
END = bytes(2 * BLOCK_BYTES)
FILE, SYMLINK, FOLDER = b"0", b"2", b"5"
_PAX = b"x"
_LARGEST_BYTES = 8**11 - 1  # eleven octal digits
_LONGEST_NAME, _LONGEST_PREFIX = 100, 155


def header(path: str, *, kind: bytes = FILE, size_bytes: int = 0, mode: int = 0o644, link: str = "") -> bytes:
    """All header blocks of one entry. `path` is relative, with slashes; a folder's gets its slash at the end here."""
    name = (path if kind != FOLDER else path.rstrip("/") + "/").encode("utf-8", "surrogateescape")
    target = link.encode("utf-8", "surrogateescape")
    parts = _split(name)
    wide: list[tuple[bytes, bytes]] = []
    if parts is None:
        wide.append((b"path", name))
        parts = b"", _shortened(name)
    if len(target) > _LONGEST_NAME:
        wide.append((b"linkpath", target))
        target = _shortened(target)
    if size_bytes > _LARGEST_BYTES:
        wide.append((b"size", b"%d" % size_bytes))
    block = _block(parts, kind, 0 if size_bytes > _LARGEST_BYTES else size_bytes, mode, target)
    return _extended(wide) + block if wide else block


def padding(size_bytes: int) -> bytes:
    """The zeros that fill up the last block of `size_bytes` bytes."""
    return bytes(-size_bytes % BLOCK_BYTES)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """(prefix, name) as ustar stores a plain name, the prefix as short as it can be; None if it does not fit."""
    if not name.isascii():
        return None
    if len(name) <= _LONGEST_NAME:
        return b"", name
    cut = name.find(b"/", len(name) - _LONGEST_NAME - 1, len(name) - 1)
    if 0 < cut <= _LONGEST_PREFIX:
        return name[:cut], name[cut + 1 :]
    return None


def _shortened(name: bytes) -> bytes:
    """A stand-in for readers that do not know pax; the real name is in the pax header."""
    return name[-_LONGEST_NAME:].decode("utf-8", "ignore").lstrip("/").encode("ascii", "replace") or b"long"


def _block(parts: tuple[bytes, bytes], kind: bytes, size_bytes: int, mode: int, link: bytes) -> bytes:
    prefix, name = parts
    head = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0" % mode,
            b"0000000\0" * 2,  # owner and group
            b"%011o\0" % size_bytes,
            b"00000000000\0",  # time
            b" " * 8,  # the checksum's place counts as spaces
            kind,
            link.ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),  # names of owner and group
            b"0000000\0" * 2,  # device
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    return b"%b%06o\0 %b" % (head[:148], sum(head), head[156:])


def _extended(records: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(_record(key, value) for key, value in records)
    return _block((b"", b"././@PaxHeader"), _PAX, len(body), 0o644, b"") + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    """`<length> <key>=<value>\\n`, where the length counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)
