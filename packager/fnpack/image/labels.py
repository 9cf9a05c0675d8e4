"""What an image says of itself: its labels. docs/provenance.md describes each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import fnpack
from fnpack.app.directory import MARKER
from fnpack.app.functions import Function
from fnpack.dependencies.cache import sha256_of
from fnpack.oci import function_app
from fnpack.oci.file_digests import HashedFile
from fnpack.provenance.contents import model_contents, models_labels


def app_labels(
    app: Path, base_image: str, host: str, python_version: str, functions: Sequence[Function]
) -> dict[str, str]:
    """What an image says of the app in it; models are not among it. docs/provenance.md describes each label."""
    scoring = json.loads((app / MARKER).read_text("utf-8"))
    facts = [
        {"name": one.name, "trigger": one.trigger, "where": one.where, "settings": list(one.settings)}
        for one in functions
    ]
    return {
        "io.fnpack.entry-script": scoring["entry_script"],
        "io.fnpack.entry-script.sha256": sha256_of(app / scoring["entry_script"]),
        "io.fnpack.functions": json.dumps(facts, separators=(",", ":"), ensure_ascii=False),
        "io.fnpack.host": host,
        "io.fnpack.python": python_version,
        "io.fnpack.version": fnpack.__version__,
        "org.opencontainers.image.base.name": base_image,
        "org.opencontainers.image.title": Path(scoring["entry_script"]).stem,
    }


def model_labels(app: Path) -> dict[str, str]:
    """What an image says of the models in the app directory."""
    scoring = json.loads((app / MARKER).read_text("utf-8"))
    models = []
    for model in scoring["models"]:
        folder = app / model["path"]
        files = [
            HashedFile(relative, sha256_of(path), path.stat().st_size)
            for relative, path in sorted(function_app.app_files(folder))
        ]
        models.append((model_contents(f"{model['name']}:{model['version']}", "", files), ()))
    return models_labels(models) if models else {}
