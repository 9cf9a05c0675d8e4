"""What an image that was pushed before knows of its layers, so that a new machine need not make them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from fnpack.atomic_file import replacing
from fnpack.cache_folder import cache_folder
from fnpack.oci.base_python import facts_of, remember
from fnpack.oci.layer_cache import Known, LayerCache
from fnpack.provenance.long_labels import in_pieces, whole

if TYPE_CHECKING:
    from fnpack.daemonless.base import Base
    from fnpack.daemonless.deliver import Destination
    from fnpack.registry import Registries

CACHE_LABEL = "io.fnpack.layers"


class Earlier:
    """What recipes make, as an image that was pushed before says; with it a new machine need not make it again."""

    def __init__(self, cache: LayerCache) -> None:
        self.cache = cache
        self.layers: dict[str, Known] = {}
        self.clashes: dict[str, list[list[str]]] = {}
        self.used: dict[str, list[list[str]]] = {}

    def copy(self) -> Earlier:
        """The same, which notes for itself what it was asked for."""
        other = Earlier(self.cache)
        other.layers, other.clashes = self.layers, self.clashes
        return other

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
        with suppress(OSError), replacing(self.cache.folder / "clashes" / key, 0o666) as file:
            file.write(json.dumps(self.used[key]).encode())

    def labels(self, known: Mapping[str, Known], base: Base) -> dict[str, str]:
        """The labels that tell a later build all this, and what the base image holds."""
        layers = {key: one._asdict() for key, one in sorted(known.items())}
        bases = {base.source.config().descriptor.digest: facts_of(base.python)}
        told = {"layers": layers, "clashes": self.used, "bases": bases}
        return in_pieces(CACHE_LABEL, json.dumps(told, sort_keys=True, separators=(",", ":")))

    def take(self, labels: Mapping[str, object]) -> None:
        """Read them; what is not understood, or not there, is passed over."""
        with suppress(LookupError, ValueError, TypeError, AttributeError):
            told = json.loads(whole(labels, CACHE_LABEL))
            layers = {key: Known(**one) for key, one in told["layers"].items()}
            self.layers, self.clashes = layers, dict(told["clashes"])
            for digest, facts in dict(told.get("bases", {})).items():
                remember(cache_folder(), digest, facts)


def earlier_image(destination: Destination, tag: str, registries: Registries, cache: LayerCache) -> Earlier:
    """Read the tag's present image, if there is one and this machine has made no layers yet."""
    remote = Earlier(cache)
    if destination.kind != "registry" or (cache.folder / "recipes").is_dir():
        return remote
    from fnpack.registry import Reference, RegistryBase, RegistryError

    with suppress(RegistryError, LookupError, ValueError, TypeError):
        config = json.loads(RegistryBase(Reference.parse(tag), registries).config().data)
        remote.take(config["config"]["Labels"])
    return remote
