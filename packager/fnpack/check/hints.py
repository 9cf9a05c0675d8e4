"""What to do about a failed check: which package, which file, which model is missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fnpack.check.report import Raised

WITHOUT = "--no-check builds all the same"
# Modules whose project on an index has another name; the longest name that fits counts.
PROJECTS = {
    "Crypto": "pycryptodome",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "azure.identity": "azure-identity",
    "azure.storage.blob": "azure-storage-blob",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "google.cloud.storage": "google-cloud-storage",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "ot": "pot",
    "pkg_resources": "setuptools",
    "pywt": "pywavelets",
    "ruamel.yaml": "ruamel.yaml",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
_SHOWN_FILES = 10


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a hint is made from: where packages are named, what lies beside the script, and the model's files."""

    requirements: str  # where packages are named, or ""
    script_folder: Path
    ships_folder: bool
    model_files: Sequence[str]  # in AZUREML_MODEL_DIR


def hint_for(step: str, raised: Raised, found: Surroundings) -> str:
    """One line on what mends it."""
    missing = raised.module if raised.type == "ModuleNotFoundError" else None
    if missing:
        return _missing_module(missing, found)
    library = missing_library(raised)
    if library:
        return f"choose a base image that has the system library {library} (--base-image); {WITHOUT}"
    if raised.type == "FileNotFoundError":
        return f"{_models(found)}; {WITHOUT}"
    if raised.type == "PermissionError" and raised.file:
        return f"the image's user may write to /tmp alone: write {raised.file} there; {WITHOUT}"
    if raised.is_setting:
        return (
            f"the container's settings are not there during a build: have a default for {raised.text}, or name it in "
            f"the configuration's environmentVariables; {WITHOUT}"
        )
    if raised.type == "MemoryError":
        return f"this machine has too little memory for it; {WITHOUT}"
    if step == "run":
        return f"mend the script or the sample; {WITHOUT}"
    return f"mend the script, its packages or its model; {WITHOUT}"


def project_of(module: str) -> str:
    """The project on an index that most likely has a module."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if found := PROJECTS.get(".".join(parts[:end])):
            return found
    return parts[0].replace("_", "-") if parts[0] not in ("azure", "google") else "-".join(parts[:3])


def missing_library(raised: Raised) -> str | None:
    """The shared library that an extension module did not find."""
    name, found, _ = raised.text.partition(": cannot open shared object file")
    return name.rpartition(" ")[2].rpartition(":")[2] if found else None


def _missing_module(module: str, found: Surroundings) -> str:
    first = module.partition(".")[0]
    beside = found.script_folder / first
    if not found.ships_folder and (beside.with_suffix(".py").is_file() or beside.is_dir()):
        name = f"{first}.py" if beside.with_suffix(".py").is_file() else f"the folder {first}"
        return (
            f"{name} lies beside the script and is not shipped: --source-directory ships the script's folder"
        )
    if first in sys.stdlib_module_names:
        return f"`{first}` is a part of Python that the image's Python lacks; {WITHOUT}"
    where = found.requirements or "requirements.txt"
    return f"add `{project_of(module)}` to {where}, or take the import out; {WITHOUT}"


def _models(found: Surroundings) -> str:
    if not found.model_files:
        return "the app has no model: name one with --model"
    shown = ", ".join(found.model_files[:_SHOWN_FILES])
    more = len(found.model_files) - _SHOWN_FILES
    return f"AZUREML_MODEL_DIR holds {shown}" + (f" and {more} more" if more > 0 else "")
