"""The few operations that a shared registry needs of a file system, on any that fsspec knows and that are safe.

The one that counts is `create`: it writes a file, whole, only where there is none, and exactly one of several
processes succeeds. Where a file system cannot do that, two models could get one version: it is refused.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.config import redact
from fnpack.models.errors import RegistryError, RegistryUnfit

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# What is known to create conditionally: by a link, in memory, by the service's own condition (If-None-Match: *).
_LOCAL = ("file", "local")
_CONDITIONAL = ("memory", "az", "abfs", "abfss", "adl", "s3", "s3a", "gs", "gcs")
_PACKAGES = {"az": "adlfs", "abfs": "adlfs", "abfss": "adlfs", "adl": "adlfs", "s3": "s3fs", "gs": "gcsfs"}
_IN_MEMORY = threading.Lock()  # fsspec's memory looks first and writes then
_PROBE = "registry.json"
_PROBE_TEXT = b'{"schema_version": 1}\n'


class Storage:
    """A folder in a file system. Paths are relative to it and use `/`."""

    def __init__(self, url: str, options: Mapping[str, object] | None = None) -> None:
        self.url = _shown(url).rstrip("/")
        self._protocol = url.partition("://")[0].lower()
        if self._protocol not in (*_LOCAL, *_CONDITIONAL):
            raise RegistryUnfit(
                f"{self.url}: storage of the kind `{self._protocol}` cannot hold a model registry, since it has no "
                "way to create a file only where there is none",
                hint="use a blob container (`az://container/folder`), a bucket (`s3://`, `gs://`) or a folder "
                "(`file:///shared/models`)",
            )
        self._fs, self._root = self._opened(url, options or {})

    def prepare(self) -> None:
        """Make the registry's mark, and see that creating twice is refused. Raises RegistryUnfit where it is not."""
        if not self.create(_PROBE, _PROBE_TEXT) or not self.create(_PROBE, _PROBE_TEXT):
            return
        raise RegistryUnfit(
            f"{self.url}: this storage overwrites a file where it was asked to create a new one, so two models could "
            "get one version",
            hint="use a newer version of its fsspec package, or other storage",
        )

    def create(self, path: str, data: bytes) -> bool:
        """Write a file where there is none, whole.

        False if there is one, which may be this very file, written by a request whose answer was lost.
        """
        with self._talking(f"write {path}"):
            if self._protocol in _LOCAL:
                return self._create_by_link(Path(self._full(path)), data)
            try:
                with _IN_MEMORY if self._protocol == "memory" else nullcontext():
                    self._fs.pipe_file(self._full(path), data, mode="create")
            except FileExistsError:
                return False
            except Exception:  # a lost answer, or a refused condition in the words of the service
                if not self._fs.exists(self._full(path)):
                    raise
                return False
            return True

    def read(self, path: str) -> bytes:
        """The content of a small file. Raises FileNotFoundError."""
        with self._talking(f"read {path}"):
            data: bytes = self._fs.cat_file(self._full(path))
            return data

    def read_all(self, paths: list[str]) -> dict[str, bytes]:
        """The content of several small files by path; those that are gone are left out."""
        if not paths:
            return {}
        with self._talking("read"):
            full = {self._fs._strip_protocol(self._full(path)): path for path in paths}
            found = self._fs.cat(list(full), on_error="return")
            for data in found.values():
                if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
                    raise data
            return {full[name]: data for name, data in found.items() if isinstance(data, bytes)}

    def list(self, folder: str) -> list[str]:
        """The files below a folder, however deep, as the service knows them now."""
        with self._talking(f"list {folder}"):
            self._fs.invalidate_cache()
            root = self._fs._strip_protocol(self._root).rstrip("/") + "/"
            try:
                found = self._fs.find(self._full(folder))
            except FileNotFoundError:
                return []
            return [name[len(root) :] for name in found if name.startswith(root)]

    def upload(self, source: Path, path: str, on_bytes: Callable[[int], None]) -> None:
        """Copy a file of this machine."""
        with self._talking(f"write {path}"):
            if self._protocol in _LOCAL:
                Path(self._full(path)).parent.mkdir(parents=True, exist_ok=True)
            self._fs.put_file(str(source), self._full(path), callback=_callback(on_bytes))

    def download(self, path: str, target: Path, on_bytes: Callable[[int], None]) -> None:
        """Copy a file to this machine. Raises FileNotFoundError."""
        with self._talking(f"read {path}"):
            self._fs.get_file(self._full(path), str(target), callback=_callback(on_bytes))

    def remove(self, folder: str) -> None:
        """Remove a folder and all below it, if it is there."""
        paths = self.list(folder)
        with self._talking(f"remove {folder}"):
            if paths:
                self._fs.rm([self._full(path) for path in paths])

    def _opened(self, url: str, options: Mapping[str, object]) -> tuple[AbstractFileSystem, str]:
        try:
            import fsspec
        except ImportError as error:
            raise RegistryError(
                f"{self.url}: a shared registry needs the package fsspec", hint="pip install 'fnpack[models]'"
            ) from error
        try:
            fs, root = fsspec.core.url_to_fs(
                url, use_listings_cache=False, skip_instance_cache=True, **options
            )
        except ImportError as error:
            package = _PACKAGES.get(self._protocol, self._protocol)
            raise RegistryError(
                f"{self.url}: this kind of storage needs the package {package}", hint=f"pip install {package}"
            ) from error
        except Exception as error:
            raise self._error("open the registry", error) from error
        return fs, root

    def _full(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    def _create_by_link(self, target: Path, data: bytes) -> bool:
        """A link, unlike an exclusive open, shows the file whole even when this process is killed in between."""
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{uuid.uuid4().hex}")
        try:
            with draft.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, target)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    @contextmanager
    def _talking(self, doing: str) -> Iterator[None]:
        """What a file system raises, as ours; a missing file stays FileNotFoundError."""
        try:
            yield
        except (FileNotFoundError, RegistryError):
            raise
        except Exception as error:
            raise self._error(doing, error) from error

    def _error(self, doing: str, error: Exception) -> RegistryError:
        first = redact.addresses(str(error).strip().partition("\n")[0])[:300]
        return RegistryError(
            f"{self.url}: cannot {doing}: {type(error).__name__}: {first}",
            hint="check that container or folder exist, and the settings of its package "
            "(for `az://`: AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and `az login`)",
        )


def _shown(url: str) -> str:
    """The URL for messages. In `abfs://container@account.../` a container stands where others have a login."""
    login = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    return url if login and ":" not in login else redact.addresses(url)


def _callback(on_bytes: Callable[[int], None]) -> object:
    """fsspec's callback that says how many more bytes were moved, whichever way the file system counts."""
    from fsspec.callbacks import Callback

    class Moved(Callback):  # type: ignore[misc]
        said = 0

        def call(self, hook_name: str | None = None, **kwargs: object) -> None:
            if self.value > self.said:
                on_bytes(self.value - self.said)
                self.said = self.value

    return Moved()
