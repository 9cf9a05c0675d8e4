"""Builds images without a Docker Engine: a base by digest, layers from wheels, models and the app."""

from __future__ import annotations

from fnpack.app.entry_script import check_entry_script
from fnpack.build import Built, default_platform, default_tag, workplace
from fnpack.config.build import BuildSettings
from fnpack.daemonless.context import Context
from fnpack.daemonless.deliver import Destination, deliver, destination_of, registries_for
from fnpack.daemonless.earlier import earlier_image
from fnpack.daemonless.parts import image_of, parts_of
from fnpack.oci.cache import LayerCache
from fnpack.progress import Progress, ProgressEvent, ignore

__all__ = ["Destination", "build_image", "destination_of"]


def build_image(settings: BuildSettings, destination: Destination, progress: Progress = ignore) -> Built:
    """Build the image for every platform that is asked for and put it where `destination` says.

    Raises the errors of every step: EntryScriptError, DependencyError, RegistryError, BaseImageUnfit, WheelInvalid,
    FileRefused, LayerUnwritable, OutputUnwritable and the others of `fnpack.oci.errors`.
    """
    check_entry_script(settings.app.entry_script)
    cache = LayerCache.default()
    platforms = settings.platforms or (default_platform(settings),)
    tag = settings.tag or default_tag(settings)
    with registries_for(settings, tag) as registries, workplace() as folder:
        known = earlier_image(destination, tag, registries, cache)
        context = Context(settings, cache, known, registries, progress)
        parts = [parts_of(context, one, folder) for one in platforms]
        images = [image_of(context, part) for part in parts]
        reference = deliver(images, parts, destination, tag, registries, progress)
    if not cache.is_kept:
        detail = f"{cache.folder} cannot be written, so the next build makes them again"
        progress(ProgressEvent("layers are not kept", "done", detail))
    first = parts[0]
    return Built(
        reference,
        first.app,
        first.base.reference,
        first.target.python_version,
        ",".join(platforms),
        destination.kind == "registry",
    )
