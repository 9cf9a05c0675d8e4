"""Manifests, by tag or digest: their exact bytes, the one for a platform, tags, and what refers to a manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple, cast
from urllib.parse import quote

from fnpack.oci.content import INDEX, MANIFEST, BytesContent, Descriptor, digest_of
from fnpack.registry.challenges import Scopes, scope
from fnpack.registry.client import Registries, path_of
from fnpack.registry.errors import (
    DigestMismatch,
    ImageNotFound,
    ManifestInvalid,
    PlatformMissing,
    RegistryError,
)
from fnpack.registry.reference import Reference
from fnpack.registry.transport import Response

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
_MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
_INDEXES = (INDEX, DOCKER_INDEX)
_ACCEPT = ", ".join((*_INDEXES, *_MANIFESTS))
_LARGEST_BYTES = 4 * 1024 * 1024  # what registries take
_LARGEST_PAGE_BYTES = 4 * 1024 * 1024
_MOST_PAGES = 200
_NEXT = re.compile(r"<([^>]+)>\s*;[^,]*\brel=\"?next\"?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Child(NamedTuple):
    """An entry of an index: a manifest, and the platform that it is for (`linux/arm64/v8`), if any."""

    descriptor: Descriptor
    platform: str | None = None
    artifact_type: str | None = None


def get_manifest(registries: Registries, reference: Reference, scopes: Scopes | None = None) -> BytesContent:
    """The manifest or index that a reference names, byte for byte, verified against the digest that is known of it.

    Raises ImageNotFound, ManifestInvalid for what is neither, DigestMismatch, and the registry's other errors.
    """
    response = _asked(registries, "GET", reference, scopes)
    data = response.read(_LARGEST_BYTES)
    announced = response.header("Docker-Content-Digest")
    response.close()
    where = {"registry": reference.registry, "repository": reference.repository}
    if len(data) > _LARGEST_BYTES:
        raise ManifestInvalid(f"the manifest of `{reference}` is larger than {_LARGEST_BYTES} bytes", **where)
    known = reference.digest or (announced if announced and _DIGEST.fullmatch(announced) else None)
    if known and digest_of(data) != known:
        raise DigestMismatch(
            f"`{reference}`: the registry gave a manifest with another digest than {known}", **where
        )
    media_type = (response.header("Content-Type") or "").partition(";")[0].strip()
    return BytesContent.of(data, _media_type(parsed(data, reference), media_type, reference))


def head_manifest(registries: Registries, reference: Reference, scopes: Scopes | None = None) -> str | None:
    """The digest that a tag has now; None if the registry has it but does not tell the digest.

    Raises ImageNotFound.
    """
    response = _asked(registries, "HEAD", reference, scopes)
    response.close()
    digest = response.header("Docker-Content-Digest")
    return digest if digest and _DIGEST.fullmatch(digest) else None


def _asked(registries: Registries, method: str, reference: Reference, scopes: Scopes | None) -> Response:
    repository = reference.repository
    try:
        return registries.of(reference).request(
            method,
            path_of(repository, "manifests", reference.identifier),
            repository=repository,
            scopes=scopes or scope(repository, "pull"),
            expect=(200,),
            headers={"Accept": _ACCEPT},
        )
    except ImageNotFound as exc:
        raise _not_found(registries, reference) from exc


def parsed(data: bytes, reference: Reference) -> Mapping[str, object]:
    """A manifest as JSON. Raises ManifestInvalid."""
    try:
        content = json.loads(data)
    except ValueError:
        content = None
    if not isinstance(content, Mapping):
        raise ManifestInvalid(
            f"the manifest of `{reference}` is not a JSON object",
            registry=reference.registry,
            repository=reference.repository,
        )
    return content


def is_index(content: BytesContent) -> bool:
    """Whether it lists manifests, most often one for each platform."""
    return content.descriptor.media_type in _INDEXES


def children(index: BytesContent, reference: Reference) -> tuple[Child, ...]:
    """The manifests that an index lists, without those that only describe others (attestations)."""
    entries = parsed(index.data, reference).get("manifests")
    found = []
    for entry in entries if isinstance(entries, list) else []:
        descriptor = descriptor_of(entry, reference)
        platform = entry.get("platform")
        kind = entry.get("artifactType")
        named = _platform(platform) if isinstance(platform, Mapping) else None
        if named != "unknown/unknown":
            found.append(Child(descriptor, named, kind if isinstance(kind, str) else None))
    return tuple(found)


def choose(index: BytesContent, platform: str | None, reference: Reference) -> Descriptor:
    """The entry of an index for `os/architecture[/variant]`, by default the first. Raises PlatformMissing."""
    entries = children(index, reference)
    if platform is None and entries:
        return entries[0].descriptor
    wanted = platform or ""
    exact = [entry for entry in entries if entry.platform == wanted]
    # arm64 is arm64/v8 and amd64 may be amd64/v2: a variant that nobody asked for decides nothing
    near = [entry for entry in entries if (entry.platform or "").startswith(f"{wanted}/")]
    wide = [entry for entry in entries if entry.platform and wanted.startswith(f"{entry.platform}/")]
    for found in (exact, near, wide):
        if found:
            return found[0].descriptor
    raise PlatformMissing(
        str(reference), platform or "any platform", [entry.platform for entry in entries if entry.platform]
    )


def descriptor_of(entry: object, reference: Reference) -> Descriptor:
    """A descriptor in a manifest. Raises ManifestInvalid."""
    values = cast("Mapping[str, object]", entry) if isinstance(entry, Mapping) else {}
    media_type, digest, size = (values.get(key) for key in ("mediaType", "digest", "size"))
    if (
        not isinstance(media_type, str)
        or not isinstance(digest, str)
        or not _DIGEST.fullmatch(digest)
        or not isinstance(size, int)
        or size < 0
    ):
        raise ManifestInvalid(
            f"the manifest of `{reference}` has an entry without type, SHA-256 digest or size",
            registry=reference.registry,
            repository=reference.repository,
        )
    annotations = values.get("annotations")
    given = annotations if isinstance(annotations, Mapping) else {}
    return Descriptor(media_type, digest, size, {str(key): str(value) for key, value in given.items()})


def list_tags(registries: Registries, reference: Reference) -> tuple[str, ...]:
    """The repository's tags, as the registry orders them. Raises ImageNotFound if there is no such repository."""
    registry, repository = registries.of(reference), reference.repository
    address = registry.address(path_of(repository, "tags", "list"))
    tags: list[str] = []
    for _ in range(_MOST_PAGES):
        response = registry.request(
            "GET", address, repository=repository, scopes=scope(repository, "pull"), expect=(200,)
        )
        page = parsed(response.read(_LARGEST_PAGE_BYTES), reference).get("tags")
        response.close()
        tags += [tag for tag in (page if isinstance(page, list) else []) if isinstance(tag, str)]
        following = _NEXT.search(response.header("Link") or "")
        if following is None:
            break
        address = address.join(following[1])
    return tuple(tags)


def put_manifest(
    registries: Registries, reference: Reference, content: BytesContent, scopes: Scopes | None = None
) -> bool:
    """Give the manifest its tag (or put it by its digest); whether the registry keeps a list of referrers itself.

    Raises DigestMismatch if the registry took it for something else, and what it refuses as it says.
    """
    registry, repository = registries.of(reference), reference.repository
    response = registry.request(
        "PUT",
        path_of(repository, "manifests", reference.identifier),
        repository=repository,
        scopes=scopes or scope(repository, "pull", "push"),
        expect=(200, 201, 202),
        headers={"Content-Type": content.descriptor.media_type},
        body=content.data,
        timeout_s=registries.settings.commit_timeout_s,
        action="a push to",
    )
    response.text()
    digest = response.header("Docker-Content-Digest")
    if digest and digest.startswith("sha256:") and digest != content.descriptor.digest:
        raise DigestMismatch(
            f"`{reference}` was pushed as {content.descriptor.digest}, but the registry has {digest}",
            registry=reference.registry,
            repository=repository,
            hint="The registry, or a proxy before it, changed the manifest.",
        )
    return response.header("OCI-Subject") is not None


def _media_type(content: Mapping[str, object], announced: str, reference: Reference) -> str:
    stated = content.get("mediaType")
    for kind in (stated, announced):
        if isinstance(kind, str) and kind in (*_INDEXES, *_MANIFESTS):
            return kind
    if content.get("schemaVersion") == 2 and isinstance(content.get("manifests"), list):
        return INDEX
    if content.get("schemaVersion") == 2 and isinstance(content.get("layers"), list):
        return MANIFEST
    old = content.get("schemaVersion") == 1
    raise ManifestInvalid(
        f"`{reference}` is {'in the image format of before 2016' if old else 'no image'}",
        registry=reference.registry,
        repository=reference.repository,
        hint="Pull and push it with a recent docker or skopeo, or choose another tag." if old else None,
    )


def _platform(platform: Mapping[str, object]) -> str:
    parts = [str(platform.get(key) or "") for key in ("os", "architecture", "variant")]
    return "/".join(filter(None, parts))


def _not_found(registries: Registries, reference: Reference) -> ImageNotFound:
    """Say whether the repository or only the tag is missing, and which tag may be meant."""
    from fnpack.config.suggest import closest

    where = {"registry": reference.registry, "repository": reference.repository}
    wanted = f"digest {reference.digest}" if reference.digest else f"tag `{reference.tag}`"
    try:
        tags = [tag for tag in list_tags(registries, reference) if not tag.startswith("sha256-")]
    except RegistryError:  # it was only asked to give better advice
        tags = []
    if not tags:
        return ImageNotFound(
            f"there is no `{reference}`: no repository `{reference.repository}` with {wanted} "
            f"at `{reference.registry}`",
            hint="Check the name; some registries say the same of what a login may not see.",
            **where,
        )
    near = closest(reference.tag or "", tags)
    shown = ", ".join(f"`{quote(tag)}`" for tag in tags[-5:])
    hint = f"Did you mean `{reference.name}:{near}`?" if near else f"Its tags are, among others, {shown}."
    return ImageNotFound(f"`{reference.name}` has no {wanted}", hint=hint if reference.tag else None, **where)
