"""Builds images without a Docker Engine: a base by digest, layers from wheels, models and the app."""

from __future__ import annotations

from fnpack.app.entry_script import check_entry_script
from fnpack.build import Built, default_platform, default_tag, workplace
from fnpack.cache_folder import cache_folder
from fnpack.check import Check
from fnpack.config.build import BuildSettings
from fnpack.daemonless.deliver import Destination, begin_pushes, deliver, destination_of, registries_for
from fnpack.daemonless.earlier import earlier_image
from fnpack.daemonless.parts import assemble, parts_of
from fnpack.daemonless.sboms import sbom_files, with_sboms
from fnpack.oci.layer_cache import LayerCache
from fnpack.progress import Progress, ignore
from fnpack.usable_cache import using_cache

__all__ = ["Destination", "build_image", "destination_of"]


def build_image(settings: BuildSettings, destination: Destination, progress: Progress = ignore) -> Built:
    """Build the image for every platform that is asked for and put it where `destination` says.

    Raises the errors of every step: EntryScriptError, DependencyError, RegistryError, BaseImageUnfit, UnsafeContent,
    LayerCacheError, OutputError, CheckFailed, CheckTooSlow.
    """
    check_entry_script(settings.app.entry_script)
    platforms = settings.platforms or (default_platform(settings),)
    tag = settings.tag or default_tag(settings)
    with (
        using_cache(progress),
        registries_for(settings, tag) as registries,
        workplace() as folder,
        Check(settings, folder, progress) as check,
    ):
        cache = LayerCache(cache_folder() / "layers")
        remote = earlier_image(destination, tag, registries, cache)
        parts = [parts_of(settings, one, registries, folder, remote, progress) for one in platforms]
        check.start(parts, has_engine=destination.kind == "engine")
        begin_pushes(parts, destination, tag, registries, progress, check)
        images = [assemble(settings, part, cache, remote, progress) for part in parts]
        images = with_sboms(settings, images, parts, destination)
        with sbom_files(settings, images, parts):
            reference = deliver(images, parts, destination, tag, registries, progress, check)
    first = parts[0]
    return Built(
        reference,
        first.app,
        first.base.reference,
        first.target.python_version,
        ",".join(platforms),
        destination.kind == "registry" or destination.is_pushed,
        check.outcome,
    )
