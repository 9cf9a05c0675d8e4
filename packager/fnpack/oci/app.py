"""The layers of a function app: each large model file by itself, the small ones of a model together, the app last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fnpack.app.directory import MODELS
from fnpack.app.tree import model_files
from fnpack.image.labels import labels
from fnpack.oci.cache import LayerCache
from fnpack.oci.digests import file_digest
from fnpack.oci.files import Compression, FileEntry, FilesRecipe
from fnpack.oci.runtime import SITE_PACKAGES, WWWROOT
from fnpack.oci.tree import tree_entries
from fnpack.spec import ModelSource

_LARGE_BYTES = 64 << 20
_MOST_LARGE = 30  # layers of single model files; beyond, the smaller ones are put together too
_LEFT_OUT = frozenset({MODELS, ".python_packages", "local.settings.json"})


def app_recipe(app: Path) -> FilesRecipe:
    """The app directory without models and packages; it is written anew for every build.

    Raises FileRefused for what cannot be in an image.
    """
    return FilesRecipe("app", tree_entries(app, WWWROOT, leave_out=_LEFT_OUT), is_lasting=False)


def model_recipes(
    models: Sequence[ModelSource], compression: Compression = "none"
) -> tuple[FilesRecipe, ...]:
    """The layers of models, laid out as in the app directory: read from where they are, not copied."""
    found = [(model, entry, _size(entry)) for model in models for entry in _entries(model)]
    by_size = sorted((size for _, _, size in found if size > _LARGE_BYTES), reverse=True)
    smallest_large = by_size[:_MOST_LARGE][-1] if by_size else _LARGE_BYTES + 1
    recipes = []
    for model in models:
        title = f"model {model.name}:{model.version}"
        own = [(entry, size) for of, entry, size in found if of is model]
        large = [entry for entry, size in own if size >= smallest_large]
        rest = tuple(entry for entry, size in own if size < smallest_large)
        for entry in large:
            name = entry.path.rpartition("/")[2]
            recipes.append(FilesRecipe(f"{title} {name}" if len(own) > 1 else title, (entry,), compression))
        if rest:
            recipes.append(FilesRecipe(title if not large else f"{title} small files", rest, compression))
    return tuple(recipes)


def path_file_recipe(site: str) -> FilesRecipe:
    """A `.pth` file in the folder `site` of the base's Python that makes it read those of the app's packages.

    fnpack's own host reads them itself; Microsoft's worker knows packages by PYTHONPATH, where Python does not look
    for them. It is needed only if a package has one (`Clashes.path_files`).
    """
    line = f"import site; site.addsitedir({SITE_PACKAGES!r})\n"
    entry = FileEntry(f"{site}/fnpack-packages.pth".strip("/"), data=line.encode())
    return FilesRecipe("path of packages", (entry,))


def app_labels(app: Path, base_name: str, models: Sequence[ModelSource], cache: LayerCache) -> dict[str, str]:
    """The image's labels. Files of models that were read before are not read again."""
    files: dict[str, list[tuple[str, Path]]] = {}
    for model in models:
        place = f"{_place(model)}/"
        files[f"{model.name}:{model.version}"] = [
            (entry.path.removeprefix(place), entry.source) for entry in _entries(model) if entry.source
        ]
    return labels(app, base_name, files, lambda path: file_digest(path, cache))


def _entries(model: ModelSource) -> Iterable[FileEntry]:
    """As the writer of app directories lays a model out: under its own name."""
    place = _place(model)
    name = model.path.absolute().name or model.path.resolve().name
    if not model.path.is_dir():
        yield _entry(f"{place}/{name}", model.path)
        return
    for file in model_files(model.path):
        yield _entry(f"{place}/{name}/{file.relative.as_posix()}", file.source)


def _place(model: ModelSource) -> str:
    return f"{WWWROOT}/{MODELS}/{model.name}/{model.version}".strip("/")


def _entry(path: str, source: Path) -> FileEntry:
    return FileEntry(path, source, is_executable=bool(source.stat().st_mode & 0o100))


def _size(entry: FileEntry) -> int:
    return entry.source.stat().st_size if entry.source else len(entry.data)
