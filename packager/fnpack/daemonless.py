"""Builds images without a Docker Engine: a base by digest, layers from wheels, models and the app, and where they go."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fnpack.app.directory import MODELS, FunctionApp, write_app
from fnpack.app.entry_script import check_entry_script
from fnpack.build import BaseImageUnfit, Built, default_platform, default_tag, step, wanted_python, workplace
from fnpack.config.build import PYTHON_VERSIONS, BuildSettings
from fnpack.oci import function_app
from fnpack.oci.base_python import BasePython, base_python
from fnpack.oci.bases import ArchiveBase, BaseSource, LayoutBase
from fnpack.oci.content import Layer
from fnpack.oci.image import Image, ImageSettings, build
from fnpack.oci.layer_cache import Known, LayerCache
from fnpack.oci.recipes import Recipe, layer_of
from fnpack.progress import Progress, ignore
from fnpack.registry.settings import RegistrySettings, cache_folder

if TYPE_CHECKING:
    from fnpack.dependencies.conda.environment import CondaEnvironment
    from fnpack.dependencies.provide import Dependencies
    from fnpack.dependencies.target import Target
    from fnpack.dependencies.wheels import WheelFile
    from fnpack.registry import Registries, RegistryBase

Output = Literal["registry", "oci-layout", "docker-archive", "engine"]
CACHE_LABEL = "io.fnpack.layers"
_WORKERS = 4


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an image goes. `path` is the folder or file of a layout or an archive."""

    kind: Output
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class _Base:
    """A base image and what is in it. `reference` is how it is named; `registry` is set where it is in one."""

    source: BaseSource
    python: BasePython
    reference: str
    digest: str
    registry: RegistryBase | None = None


@dataclass(slots=True)
class _Parts:
    """What layers are made from, for one platform."""

    base: _Base
    target: Target
    app: FunctionApp
    model_files: dict[str, dict[str, Path]]  # by model, path in the image to file here
    recipes: list[Recipe] = field(default_factory=list)
    conda_python: str | None = None


def destination_of(settings: BuildSettings) -> Destination:
    """Where the settings want the image; where they say nothing, the Docker Engine if one answers, else a layout."""
    kind, _, place = (settings.output or "").partition(":")
    if settings.push:
        return Destination("registry")
    if not kind:
        from fnpack.engine.local import answers

        kind = "engine" if answers() else "oci-layout"
    name = default_tag(settings).partition("/")[2].partition(":")[0]
    match kind:
        case "engine":
            return Destination("engine")
        case "docker-archive":
            return Destination("docker-archive", Path(place or f"{name}.tar"))
        case _:
            return Destination("oci-layout", Path(place or f"{name}.oci"))


def build_image(settings: BuildSettings, destination: Destination, progress: Progress = ignore) -> Built:
    """Build the image for every platform that is asked for and put it where `destination` says.

    Raises the errors of every step: EntryScriptError, DependencyError, RegistryError, BaseImageUnfit, UnsafeContent,
    LayerCacheError, OutputError.
    """
    check_entry_script(settings.app.entry_script)
    cache = LayerCache(cache_folder() / "layers")
    platforms = settings.platforms or (default_platform(settings),)
    tag = settings.tag or default_tag(settings)
    with _registries(settings, tag) as registries, workplace() as folder:
        remote = _remote_cache(destination, tag, registries, cache)
        parts = [_parts(settings, one, registries, folder, remote, progress) for one in platforms]
        images = [_assemble(settings, part, cache, remote, progress) for part in parts]
        reference = _deliver(images, parts, destination, tag, registries, progress)
    _pruned_now_and_then(cache)
    first = parts[0]
    return Built(
        reference,
        first.app,
        first.base.reference,
        first.target.python_version,
        ",".join(platforms),
        destination.kind == "registry",
    )


# --- what goes in ---


def _parts(
    settings: BuildSettings,
    platform: str,
    registries: Registries,
    folder: Path,
    remote: _Remote,
    progress: Progress,
) -> _Parts:
    from fnpack.dependencies.target import Target

    base = _base(settings, platform, registries, progress)
    python_version = _python_version(settings, base)
    glibc = (2, base.python.glibc_minor) if base.python.glibc_minor else None
    target = Target(platform, python_version, libc_version=glibc)
    conda = _conda(settings, target, progress)
    if conda is not None:
        (target,) = conda.targets
    found = _resolved(settings, target, conda, progress)
    placed: dict[Path, Path] = {}
    app_folder = folder / platform.replace("/", "-")
    app = write_app(
        settings.app,
        app_folder,
        lock_text=found.requirements_txt if found else "",
        place=lambda source, place: placed.update({place: source}),
    )
    parts = _Parts(base, target, app, _model_files(placed))
    if settings.host == "fnpack":
        parts.recipes += _host(settings, app_folder, target, remote, progress)
    site = function_app.SITE_PACKAGES
    if conda is not None:
        from fnpack.oci.tree_layers import TreeRecipe

        prefix = conda.prefixes[target]
        title = f"conda environment of {len(prefix.packages)} packages"
        parts.recipes.append(TreeRecipe(prefix.path, prefix.prefix.strip("/"), prefix.digest, title))
        site, parts.conda_python = prefix.site_packages.strip("/"), prefix.python
    if found is not None:
        parts.recipes += _package_layers(found, target, site, remote, progress)
    return parts


def _base(settings: BuildSettings, platform: str, registries: Registries, progress: Progress) -> _Base:
    from fnpack.image.dockerfile import default_base_image

    host = "azure-functions" if settings.host == "azure-functions" else "fnpack"
    reference = settings.base_image or default_base_image(host, wanted_python(settings))
    return step(
        progress, f"base image {reference}", lambda: _opened_base(reference, platform, registries, progress)
    )


def _opened_base(reference: str, platform: str, registries: Registries, progress: Progress) -> _Base:
    scheme, _, place = reference.partition(":")
    notes = cache_folder()
    if scheme == "oci-layout":
        source: BaseSource = LayoutBase(Path(place), platform)
    elif scheme == "docker-archive":
        source = ArchiveBase(Path(place))
    else:
        from fnpack.engine.local import engine_archive
        from fnpack.registry import Reference, RegistryBase

        archive = engine_archive(reference, cache_folder() / "bases", progress)
        if archive is None:
            registry = RegistryBase(Reference.parse(reference), registries, platform)
            python = base_python(registry, notes)
            return _Base(registry, python, reference, registry.manifest().descriptor.digest, registry)
        source = ArchiveBase(archive)
    config = source.config()
    _check_platform(reference, json.loads(config.data), platform)
    return _Base(source, base_python(source, notes), reference, config.descriptor.digest)


def _check_platform(reference: str, config: Mapping[str, object], platform: str) -> None:
    found = f"{config.get('os')}/{config.get('architecture')}"
    if found != platform and not platform.startswith(f"{found}/"):
        raise BaseImageUnfit(
            f"the base image {reference} is for {found}, not for {platform}",
            hint=f"choose another --base-image, or --platform {found}",
        )


def _python_version(settings: BuildSettings, base: _Base) -> str:
    """The base image's Python; it is the one that counts, unless a conda environment brings its own."""
    if settings.app.environment.conda is not None and not settings.app.environment.user_managed:
        return wanted_python(settings)
    found, asked = base.python.python_version, settings.python_version
    allowed = PYTHON_VERSIONS[settings.host]
    if found is None:
        raise BaseImageUnfit(
            f"the base image {base.reference} has no Python in /usr/local/bin or /usr/bin",
            hint="choose a base image with Python 3, such as python:3.12-slim",
        )
    if asked and asked != found:
        raise BaseImageUnfit(
            f"the base image {base.reference} has Python {found}, but {asked} is asked for",
            hint=f"choose another --base-image, or --python-version {found}",
        )
    if found not in allowed:
        raise BaseImageUnfit(
            f"the base image {base.reference} has Python {found}, which the host `{settings.host}` does not run",
            hint=f"choose a base image with Python {', '.join(allowed)}",
        )
    if base.python.libc == "musl":
        raise BaseImageUnfit(
            f"the base image {base.reference} is built on musl, for which most packages have no wheels",
            hint="choose a Debian-like base, such as the `-slim` images of Python",
        )
    return found


def _conda(settings: BuildSettings, target: Target, progress: Progress) -> CondaEnvironment | None:
    environment = settings.app.environment
    if environment.conda is None or environment.user_managed:
        return None
    from fnpack.dependencies.conda.environment import conda_environment
    from fnpack.dependencies.conda.errors import CondaNotPossible

    if settings.host != "fnpack":
        raise CondaNotPossible(
            f"{environment.requirements_source}: Microsoft's base image runs its own Python, not conda's",
            hint="use --host fnpack, or name the packages in the list of pip",
        )
    return conda_environment(
        environment.conda, [target], project=_project(settings), mode=settings.lock_mode, progress=progress
    )


def _resolved(
    settings: BuildSettings, target: Target, conda: CondaEnvironment | None, progress: Progress
) -> Dependencies | None:
    environment = settings.app.environment
    if environment.user_managed or not environment.requirements:
        return None
    from fnpack.dependencies.lock import Requirements
    from fnpack.dependencies.provide import resolve

    asked = Requirements(environment.requirements, environment.requirements_source, environment.constraints)
    if conda is not None:
        asked = conda.beside(asked)
    return step(
        progress,
        f"resolve {len(asked.lines)} requirements for Python {target.python_version} on {target.platform}",
        lambda: resolve(
            asked, [target], project=_project(settings), mode=settings.lock_mode, progress=progress
        ),
        is_cached=lambda found: not found.lock.is_new,
    )


def _project(settings: BuildSettings) -> Path:
    return settings.project or settings.app.entry_script.parent


def _host(
    settings: BuildSettings, app: Path, target: Target, remote: _Remote, progress: Progress
) -> list[Recipe]:
    from fnpack.image.context import host_lock
    from fnpack.image.host_lock import host_dependencies, host_wheels

    name = "host-identity.txt" if settings.identity else host_lock(app)
    found = host_dependencies(name, [target], progress)
    chosen = host_wheels(name, found, target)
    recipes = _layers_of(found, chosen, target, function_app.HOST_FOLDER, remote, progress, is_slim=True)
    return [*recipes, function_app.host_recipe(target.python_version)]


def _package_layers(
    found: Dependencies, target: Target, site: str, remote: _Remote, progress: Progress
) -> list[Recipe]:
    from fnpack.dependencies.provide import wheels

    selected = found.selected[target]
    if all(one.wheel for one in selected):
        chosen = tuple(one.wheel for one in selected if one.wheel)
    else:  # one is built from source: its hash is known when that is done
        chosen = wheels(found, target, progress)
    return _layers_of(found, chosen, target, site, remote, progress)


def _layers_of(
    found: Dependencies,
    chosen: Sequence[WheelFile],
    target: Target,
    site: str,
    remote: _Remote,
    progress: Progress,
    *,
    is_slim: bool = False,
) -> list[Recipe]:
    """The layers of `chosen`; a wheel is fetched when a layer has to be made of it."""
    from fnpack.dependencies.provide import wheels
    from fnpack.oci.wheel_layers import overwritten, wheel_recipes

    sizes = {one.name: one.size_bytes for one in found.selected[target]}

    def fetch(some: Sequence[WheelFile]) -> None:
        wheels(found, target, progress, only=[one.name for one in some])

    def size(wheel: WheelFile) -> int:
        return sizes.get(wheel.name) or (wheel.path.stat().st_size if wheel.path.is_file() else 0)

    key = hashlib.sha256(" ".join(sorted(one.sha256 for one in chosen)).encode()).hexdigest()
    lost = remote.overwritten(key)
    if lost is None:
        fetch(chosen)
        lost = overwritten(chosen)
        remote.note_overwritten(key, lost)
    return list(
        wheel_recipes(
            chosen, site, target.python_version, sizes=size, is_slim=is_slim, skipped=lost, fetch=fetch
        )
    )


def _model_files(placed: Mapping[Path, Path]) -> dict[str, dict[str, Path]]:
    """The files of each model (`NAME:VERSION`), by their path in the image."""
    models: dict[str, dict[str, Path]] = {}
    for place, source in placed.items():
        parts = place.parts[place.parts.index(MODELS) :]
        path = "/".join((function_app.ROOT, *parts))
        models.setdefault(f"{parts[1]}:{parts[2]}", {})[path] = source
    return dict(sorted(models.items()))


# --- layers and image ---


def _assemble(
    settings: BuildSettings, parts: _Parts, cache: LayerCache, remote: _Remote, progress: Progress
) -> Image:
    from fnpack.image.context import app_labels
    from fnpack.oci.model_layers import model_layers

    mtime_s = _source_date_s()
    recipes = parts.recipes

    def made(recipe: Recipe) -> Layer:
        return layer_of(recipe, cache, mtime_s=mtime_s, remote=remote.layers)

    def all_layers() -> list[Layer]:
        with ThreadPoolExecutor(_WORKERS) as pool:
            return list(pool.map(made, recipes))

    layers = step(progress, f"{len(recipes)} layers for {parts.target.platform}", all_layers)
    known = {recipe.key: _known(layer) for recipe, layer in zip(recipes, layers, strict=True)}
    labels = app_labels(parts.app.path, parts.base.reference)
    models = []
    for name, files in parts.model_files.items():
        found = model_layers(files, f"model {name}", cache, mtime_s=mtime_s)
        models.append(f"{name}={'+'.join(layer.diff_id for layer in found)}")
        layers += found
    if models:
        labels["io.fnpack.models"] = " ".join(models)
    labels["org.opencontainers.image.base.digest"] = parts.base.digest
    labels[CACHE_LABEL] = remote.text(known)
    layers.append(made(function_app.app_recipe(parts.app.path)))
    base_config = json.loads(parts.base.source.config().data)
    below = [
        Layer(content, diff_id, "base")
        for content, diff_id in zip(
            parts.base.source.layers(), base_config["rootfs"]["diff_ids"], strict=True
        )
    ]
    created = datetime.fromtimestamp(mtime_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    annotations = {key: value for key, value in labels.items() if key.startswith("org.opencontainers.image.")}
    return build(
        base_config,
        below,
        layers,
        _settings(settings, parts, base_config, labels),
        created=created,
        annotations={**annotations, "org.opencontainers.image.created": created},
    )


def _settings(
    settings: BuildSettings, parts: _Parts, base_config: Mapping[str, object], labels: dict[str, str]
) -> ImageSettings:
    if settings.host == "azure-functions":
        return function_app.azure_settings(labels)
    if parts.conda_python is None:
        return function_app.fnpack_settings(labels)
    run = base_config.get("config")
    env = run.get("Env") if isinstance(run, dict) else None
    path = next((one[5:] for one in env or [] if one.startswith("PATH=")), "/usr/local/bin:/usr/bin:/bin")
    return function_app.fnpack_settings(
        labels, parts.conda_python, f"{Path(parts.conda_python).parent}:{path}"
    )


def _known(layer: Layer) -> Known:
    found = layer.descriptor
    return Known(found.media_type, found.digest, layer.diff_id, found.size_bytes)


def _source_date_s() -> int:
    """SOURCE_DATE_EPOCH, the time that all files and the image carry (reproducible-builds.org); 0 without it."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "").strip()
    return int(text) if text.isdecimal() else 0


# --- where it goes ---


@contextmanager
def _registries(settings: BuildSettings, tag: str) -> Iterator[Registries]:
    from fnpack.registry import Reference, Registries

    login = settings.app.environment.base_image_registry
    registries = Registries(
        RegistrySettings.discover(
            insecure=settings.insecure_registries,
            logins=(login,) if login is not None else (),
            target=Reference.parse(tag).registry if settings.push else None,
        )
    )
    try:
        yield registries
    finally:
        registries.close()


def _deliver(
    images: Sequence[Image],
    parts: Sequence[_Parts],
    destination: Destination,
    tag: str,
    registries: Registries,
    progress: Progress,
) -> str:
    """Put the images where they shall be; returns what names them there."""
    match destination.kind:
        case "registry":
            return step(progress, f"push {tag}", lambda: _push(images, parts, tag, registries, progress))
        case "oci-layout":
            from fnpack.oci.outputs import write_layout, write_layout_archive

            path = destination.path or Path("image")
            write = write_layout_archive if path.suffix == ".tar" else write_layout
            top = step(progress, f"write {path}", lambda: write(images, path, tag))
            return f"oci-layout:{path}@{top.descriptor.digest}"
        case "docker-archive":
            from fnpack.oci.outputs import write_archive

            path = destination.path or Path("image.tar")
            step(progress, f"write {path}", lambda: write_archive(images[0], path, tag))
            return f"docker-archive:{path}"
        case "engine":
            from fnpack.engine import Engine
            from fnpack.oci.outputs import load

            with Engine.connect() as engine:
                return step(progress, f"load {tag}", lambda: load(images[0], tag, engine.client.api))


def _push(
    images: Sequence[Image],
    parts: Sequence[_Parts],
    tag: str,
    registries: Registries,
    progress: Progress,
) -> str:
    from fnpack.oci.image import index_of
    from fnpack.registry import Reference, push_image, push_index

    target = Reference.parse(tag)
    if len(images) == 1:
        image = images[0]
        result = push_image(
            target, manifest=image.manifest, config=image.config, layers=image.layers, registries=registries,
            base=parts[0].base.registry, progress=progress,
        )  # fmt: skip
        return str(result.reference)
    for image, part in zip(images, parts, strict=True):
        push_image(
            target.at(image.digest), manifest=image.manifest, config=image.config, layers=image.layers,
            registries=registries, base=part.base.registry, progress=progress,
        )  # fmt: skip
    return str(push_index(target, index_of(images, {}), registries=registries, progress=progress).reference)


# --- what an earlier image knows ---


@dataclass(slots=True)
class _Remote:
    """What recipes make, as an image that was pushed before says; with it a new machine need not make it again."""

    cache: LayerCache
    layers: dict[str, Known] = field(default_factory=dict)
    clashes: dict[str, list[list[str]]] = field(default_factory=dict)
    used: dict[str, list[list[str]]] = field(default_factory=dict)

    def overwritten(self, key: str) -> frozenset[tuple[str, str]] | None:
        """Which files of a set of wheels are overwritten, if that is known."""
        found = self.clashes.get(key)
        if found is None:
            try:
                found = json.loads((self.cache.folder / "clashes" / key).read_bytes())
            except (OSError, ValueError):
                return None
        self.used[key] = found
        return frozenset((package, path) for package, path in found)

    def note_overwritten(self, key: str, lost: frozenset[tuple[str, str]]) -> None:
        """Keep what was found."""
        self.used[key] = [list(pair) for pair in sorted(lost)]
        note = self.cache.folder / "clashes" / key
        try:
            note.parent.mkdir(parents=True, exist_ok=True)
            partial = note.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps(self.used[key]))
            partial.replace(note)
        except OSError:
            return

    def text(self, known: Mapping[str, Known]) -> str:
        """The label that tells a later build all this."""
        layers = {key: asdict(one) for key, one in sorted(known.items())}
        return json.dumps({"layers": layers, "clashes": self.used}, sort_keys=True, separators=(",", ":"))


def _remote_cache(destination: Destination, tag: str, registries: Registries, cache: LayerCache) -> _Remote:
    """Read the tag's present image, if there is one and this machine has made no layers yet."""
    remote = _Remote(cache)
    if destination.kind != "registry" or (cache.folder / "recipes").is_dir():
        return remote
    from fnpack.registry import Reference, RegistryBase, RegistryError

    try:
        config = json.loads(RegistryBase(Reference.parse(tag), registries).config().data)
        told = json.loads(config["config"]["Labels"][CACHE_LABEL])
        remote.layers = {key: Known(**one) for key, one in told["layers"].items()}
        remote.clashes = dict(told["clashes"])
    except (RegistryError, LookupError, ValueError, TypeError, AttributeError):
        return remote
    return remote


def _pruned_now_and_then(cache: LayerCache) -> None:
    """Once a day, so that a cache does not grow for ever."""
    mark = cache.folder / "pruned"
    try:
        if mark.exists() and time.time() - mark.stat().st_mtime < 24 * 3600:
            return
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        return
    cache.prune()
