"""Reads form bodies and holds their values: SDK v1's raw request has `form` and `files`, as Flask's has."""

from __future__ import annotations

import email.message
import io
import shutil
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qsl

from .errors import BadInput

URL_ENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


class MultiDict(dict[str, object]):
    """Values by name: the first one of each as a plain dict has it, all of them by `getlist`."""

    def __init__(self, pairs: Iterable[tuple[str, object]] = ()) -> None:
        super().__init__()
        self._lists: dict[str, list[object]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)
        self.update({name: values[0] for name, values in self._lists.items()})

    def get(self, key: str, default: object = None, type: Callable[[object], object] | None = None) -> object:
        """The first value, or `default`, also where `type` cannot read it (ValueError)."""
        if key not in self:
            return default
        try:
            return self[key] if type is None else type(self[key])
        except ValueError:
            return default

    def getlist(self, key: str) -> list[object]:
        """All values of a name."""
        return list(self._lists.get(key, ()))


class UploadedFile(io.BytesIO):
    """A file of a multipart form: a readable stream with its `filename`, `content_type` and field `name`."""

    def __init__(self, data: bytes, filename: str, name: str, headers: email.message.Message) -> None:
        super().__init__(data)
        self.filename, self.name, self.headers = filename, name, headers
        self.content_type = str(headers.get("content-type", "application/octet-stream"))
        self.mimetype = self.content_type.partition(";")[0].strip().lower()
        self.content_length = len(data)

    @property
    def stream(self) -> UploadedFile:
        """The file itself."""
        return self

    def save(self, dst: str | PathLike[str] | BinaryIO, buffer_size: int = 16384) -> None:
        """Write what is left to read to a path or to an open file."""
        if isinstance(dst, (str, PathLike)):
            with Path(dst).open("wb") as target:
                shutil.copyfileobj(self, target, buffer_size)
        else:
            shutil.copyfileobj(self, dst, buffer_size)


def parse_form(content_type: str, body: bytes) -> tuple[MultiDict, MultiDict]:
    """The fields and the files of a form body; both empty where it is none. Raises BadInput for a broken one."""
    header = email.message.Message()
    header["content-type"] = content_type or "application/octet-stream"
    match header.get_content_type():
        case "application/x-www-form-urlencoded":
            return MultiDict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)), MultiDict()
        case "multipart/form-data":
            boundary = header.get_boundary()
            if not boundary:
                raise BadInput("the content type multipart/form-data names no boundary")
            return _parts(body, boundary.encode("latin-1", "replace"))
    return MultiDict(), MultiDict()


def _parts(body: bytes, boundary: bytes) -> tuple[MultiDict, MultiDict]:
    fields: list[tuple[str, object]] = []
    files: list[tuple[str, object]] = []
    line = b"\r\n--" + boundary
    pieces = (b"\r\n" + body).split(line)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise BadInput("the multipart body does not end with its boundary")
    for piece in pieces[1:-1]:
        head, blank, data = piece.partition(b"\r\n\r\n")
        if not blank:
            raise BadInput("a part of the multipart body has no blank line after its headers")
        headers = email.message_from_string(head.lstrip(b"\r\n").decode("utf-8", "replace") + "\r\n\r\n")
        name = headers.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise BadInput("a part of the multipart body has no name")
        filename = headers.get_filename()
        if filename is None:
            fields.append((name, data.decode("utf-8", "replace")))
        else:
            files.append((name, UploadedFile(data, filename, name, headers)))
    return MultiDict(fields), MultiDict(files)
