"""Image references: which registry, which repository, which tag or digest. It asks no registry."""

from __future__ import annotations

import re
from typing import NamedTuple

from fnpack.config.image_names import DOCKER_HUB, fault_of_image, registry_name, registry_of
from fnpack.registry.errors import ReferenceInvalid

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HUB_HOST = "registry-1.docker.io"


class Reference(NamedTuple):
    """An image in a registry. `registry` is `host` or `host:port`, and `docker.io` for Docker Hub.

    With a digest, the digest is what counts and the tag only says what it once was.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read `[registry/]name[:tag][@digest]` as docker does: no registry is Docker Hub, no tag is `latest`.

        Raises ReferenceInvalid, which does not repeat a text that may hold a login.
        """
        fault = fault_of_image(text)
        if fault is not None:
            raise ReferenceInvalid(fault, text)
        named = registry_of(text)
        name, _, digest = (text if named is None else text.removeprefix(f"{named}/")).partition("@")
        repository, _, tag = name.partition(":")
        registry = registry_name(named or DOCKER_HUB)
        if registry == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        if digest and not _DIGEST.fullmatch(digest):
            raise ReferenceInvalid("the digest is not `sha256:` and 64 hexadecimal digits", text)
        return cls(registry, repository, tag or (None if digest else "latest"), digest or None)

    @property
    def host(self) -> str:
        """Where the registry's API is."""
        return _HUB_HOST if self.registry == DOCKER_HUB else self.registry

    @property
    def name(self) -> str:
        """`registry/repository`."""
        return f"{self.registry}/{self.repository}"

    @property
    def identifier(self) -> str:
        """What a manifest is asked for by: the digest if there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """The manifest with this digest, in the same repository; the tag stays for people."""
        return self._replace(digest=digest)

    def tagged(self, tag: str) -> Reference:
        """Another tag of the same repository."""
        return self._replace(tag=tag, digest=None)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")
