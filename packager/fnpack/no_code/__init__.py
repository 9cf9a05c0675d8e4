"""Serves a model without an entry script: finds out what its file is, without loading it, and writes the script."""

from __future__ import annotations

import importlib
import struct
import zipfile
import zlib
from pathlib import Path
from types import ModuleType

from fnpack.no_code.found import Found, NoCodeError

# What readers of zips, numbers and texts raise for bytes that a stranger has changed.
_DAMAGED = (
    ValueError,
    RuntimeError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
__all__ = ["FORMATS", "Found", "NoCodeError", "find", "find_in"]

# What is served, and the module that knows it: `matches(path)` by the file's bytes, then `find(path)`.
FORMATS = {
    "an MLflow model (folder)": "mlflow_folders",
    "a TensorFlow SavedModel (folder)": "saved_models",
    "skops": "skops_files",
    "PyTorch (TorchScript, torch.export)": "torch_files",
    "ONNX": "onnx_files",
    "XGBoost (JSON, UBJSON)": "xgboost_files",
    "LightGBM (text)": "lightgbm_files",
    "a scikit-learn pickle or joblib file": "scikit_learn",
}
_KNOWN = f"served without one are: {', '.join(FORMATS)}; for all else give a script with init() and run()"


def find(path: Path) -> tuple[Found, str]:
    """What the model is, and the path of what is served below the folder that holds `path`.

    A folder that is no model itself may hold one model file. Raises NoCodeError.
    """
    try:
        return _find(path)
    except OSError as error:
        raise NoCodeError(f"`{path}` cannot be read: {error.strerror}", hint="check the path") from error
    except _DAMAGED as error:
        raise NoCodeError(
            f"`{path.name}` cannot be read: {error}", hint="is it whole? Save the model again"
        ) from error


def find_in(path: Path) -> ModuleType | None:
    """The module that knows this file or folder."""
    for name in FORMATS.values():
        module = importlib.import_module(f"{__name__}.{name}")
        if module.matches(path):
            return module
    return None


def _find(path: Path) -> tuple[Found, str]:
    module = find_in(path)
    if module is not None:
        _check_external(path, module)
        return module.find(path), path.name
    if not path.is_dir():
        raise _unknown(path)
    known = [(one, found) for one in sorted(path.iterdir()) if (found := find_in(one)) is not None]
    if len(known) != 1:
        raise NoCodeError(_several(path, [one.name for one, _ in known]), hint=_KNOWN)
    inside, module = known[0]
    return module.find(inside), f"{path.name}/{inside.name}"


def _check_external(path: Path, module: ModuleType) -> None:
    """A file alone goes into the app without those beside it."""
    if hasattr(module, "external_files") and module.external_files(path):
        raise NoCodeError(
            f"`{path.name}` has its weights in files beside it, which do not travel with it",
            hint="give the folder that holds them all",
        )


def _unknown(path: Path) -> NoCodeError:
    from fnpack.no_code.found import start_of
    from fnpack.no_code.refused import described

    known = described(path)
    if known is not None:
        return NoCodeError(f"`{path.name}` is {known[0]}", hint=known[1])
    start = start_of(path, 16)
    what = f"begins with {start!r}, which is no known model" if start else "is empty"
    return NoCodeError(f"`{path.name}` {what}", hint=_KNOWN)


def _several(path: Path, names: list[str]) -> str:
    if not names:
        return f"the folder `{path.name}` holds no model that is known"
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return f"the folder `{path.name}` holds {len(names)} models: {shown}"
