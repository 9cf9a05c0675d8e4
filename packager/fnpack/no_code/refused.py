"""Files that are known and not served: what each is, and what to do with it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from fnpack.no_code.found import start_of

_SCRIPT = "give an entry script: --entry-script"
_KERAS = (
    "in Python, `model.export('folder')` makes a SavedModel of it, which is served; or give an entry script"
)


def described(path: Path) -> tuple[str, str] | None:
    """What the file is and what to do, for one that is known; None for any other."""
    start = start_of(path, 256)
    if start.startswith(b"\x89HDF"):
        return "an HDF5 file, as Keras wrote models", _KERAS
    if start.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as file:
                names = set(file.namelist())
        except zipfile.BadZipFile:
            return "a damaged zip", "save the model again"
        if {"metadata.json", "config.json"} <= names:
            return "a Keras model", _KERAS
        if any(name.endswith(".npy") for name in names):
            return "numpy arrays (npz), and no model", _SCRIPT
    if start.startswith(b"\x93NUMPY"):
        return "a numpy array, and no model", _SCRIPT
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite model", "give the SavedModel that it was made from, or an entry script"
    if start[4:8] == b"ET12":
        return "an ExecuTorch program", "save the model with torch.export.save, or give an entry script"
    if re.match(rb".{8}\{\s*\"", start, re.DOTALL) and path.suffix == ".safetensors":
        return "weights alone (safetensors), and not the model's code", _SCRIPT
    if b"<PMML" in start:
        return "a PMML document", _SCRIPT
    if start.startswith(b"CBM1"):
        return (
            "a CatBoost model",
            "save it as ONNX (`save_model(..., format='onnx')`), or give an entry script",
        )
    if start.startswith(b"GGUF"):
        return "a GGUF language model", _SCRIPT
    return None
