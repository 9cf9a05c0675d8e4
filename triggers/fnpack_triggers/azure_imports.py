"""Lets the Azure storage libraries be imported where `cryptography` is not installed, as in fnpack's images.

They import it at their top for client-side encryption alone, which fnpack never uses, and it is a third of what a
storage app's host would weigh. Who imports `azure.storage` calls `allow_missing_cryptography()` before. Only the host's
own process does that, never a worker: there a library that asks for `cryptography` has to get a plain answer.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from fnpack_triggers.errors import FnpackError


class CryptographyMissingError(FnpackError):
    """Client-side encryption was asked for, but the package that does it is not installed."""

    code = "FN143"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"client-side encryption needs the cryptography package (`{name}` was called)",
            hint="install cryptography beside azure-storage-blob; fnpack's own images leave it out",
        )


def allow_missing_cryptography() -> None:
    """Serve stand-ins to later imports, unless the real package can be found. Safe to call twice.

    A stand-in can be imported and named in an annotation; calling it raises CryptographyMissingError.
    """
    if importlib.util.find_spec("cryptography") is None:
        sys.meta_path.append(_Finder())  # the last to be asked


# All that azure-storage-blob and azure-storage-queue import at run time. A name that a later version adds fails there
# as an ImportError, in the tests first.
_MODULES: dict[str, tuple[str, ...]] = {
    "cryptography": (),
    "cryptography.hazmat": (),
    "cryptography.hazmat.backends": ("default_backend",),
    "cryptography.hazmat.primitives": (),
    "cryptography.hazmat.primitives.ciphers": ("Cipher",),
    "cryptography.hazmat.primitives.ciphers.aead": ("AESGCM",),
    "cryptography.hazmat.primitives.ciphers.algorithms": ("AES",),
    "cryptography.hazmat.primitives.ciphers.modes": ("CBC",),
    "cryptography.hazmat.primitives.padding": ("PKCS7",),
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the stand-in modules, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _MODULES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        for name in _MODULES[module.__name__]:
            setattr(module, name, _stand_in(f"{module.__name__}.{name}"))


def _stand_in(name: str) -> type:
    """A class, since annotations name it; it has no instances."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise CryptographyMissingError(name)

    return type(name.rpartition(".")[2], (), {"__new__": refuse, "__module__": __name__})
