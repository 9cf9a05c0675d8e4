"""Protobuf messages read from a file by their wire format: a field's bytes are read only when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_LONGEST_TEXT = 1 << 16


class WireError(ValueError):
    """The bytes are no protobuf message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A length-delimited field, or a whole file: text, bytes or fields, by what the reader knows of it."""

    file: BinaryIO
    start: int
    size: int

    @property
    def text(self) -> str:
        """The field as text. Raises WireError for one that is longer than any name."""
        if self.size > _LONGEST_TEXT:
            raise WireError(f"a text of {self.size} bytes")
        self.file.seek(self.start)
        return self.file.read(self.size).decode("utf-8", "replace")

    def fields(self) -> Iterator[tuple[int, int | Message]]:
        """(number, value) in the order of the file; fixed numbers are left out. Raises WireError."""
        at, end = self.start, self.start + self.size
        while at < end:
            key, at = self._varint(at, end)
            number, kind = key >> 3, key & 7
            if number == 0:
                raise WireError(f"field number 0 before byte {at}")
            if kind == 0:
                value, at = self._varint(at, end)
                yield number, value
            elif kind == 2:
                size, at = self._varint(at, end)
                if size > end - at:
                    raise WireError(f"a field of {size} bytes at byte {at}, after the end")
                yield number, Message(self.file, at, size)
                at += size
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
            else:
                raise WireError(f"wire type {kind} before byte {at}")

    def messages(self, number: int) -> Iterator[Message]:
        """The messages of one field number."""
        for found, value in self.fields():
            if found == number and isinstance(value, Message):
                yield value

    def first(self, *numbers: int) -> Message | None:
        """The first message below a path of field numbers."""
        here: Message | None = self
        for number in numbers:
            here = next(here.messages(number), None) if here is not None else None
        return here

    def number(self, number: int, default: int = 0) -> int:
        """The last value of a number field, signed."""
        value = default
        for found, one in self.fields():
            if found == number and isinstance(one, int):
                value = one
        return value - (1 << 64) if value >= 1 << 63 else value

    def words(self, number: int) -> str:
        """The first value of a text field, or ""."""
        found = self.first(number)
        return found.text if found is not None else ""

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        self.file.seek(at)
        value = 0
        for shift, byte in enumerate(self.file.read(min(10, end - at))):
            value |= (byte & 0x7F) << 7 * shift
            if byte < 0x80:
                return value, at + shift + 1
        raise WireError(f"the message ends inside a number at byte {at}")


def message_of(file: BinaryIO) -> Message:
    """The whole file as a message."""
    return Message(file, 0, file.seek(0, 2))
