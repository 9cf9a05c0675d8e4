"""What refers to a manifest (SBOMs, provenance): attached to it, and listed. Not all registries keep such lists."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fnpack.oci.content import EMPTY, INDEX, MANIFEST, BytesContent, Content, Descriptor, Layer
from fnpack.progress import Progress, ignore
from fnpack.registry.challenges import scope
from fnpack.registry.client import Registries, path_of
from fnpack.registry.errors import ImageNotFound
from fnpack.registry.manifests import Child, children, get_manifest, parsed, put_manifest
from fnpack.registry.push import PushResult, push_image
from fnpack.registry.reference import Reference

_LARGEST_LIST_BYTES = 4 * 1024 * 1024


def attach(
    subject: Reference,
    described: Descriptor,
    content: Content,
    artifact_type: str,
    *,
    registries: Registries,
    annotations: Mapping[str, str] | None = None,
    progress: Progress = ignore,
) -> PushResult:
    """Push an artifact that refers to the manifest `described` in the repository of `subject`.

    In a registry that keeps no list of referrers the tag `sha256-<hex>` is one, as OCI's specification has it.
    """
    empty = BytesContent.of(b"{}", EMPTY)
    extra = {"annotations": dict(sorted(annotations.items()))} if annotations else {}
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": empty.descriptor.to_json(),
        "layers": [content.descriptor.to_json()],
        "subject": described.to_json(),
        **extra,
    }
    manifest = BytesContent.of(_json(body), MANIFEST)
    result = push_image(
        Reference(subject.registry, subject.repository, digest=manifest.descriptor.digest),
        manifest=manifest,
        config=empty,
        layers=[Layer(content, content.descriptor.digest, artifact_type)],
        registries=registries,
        progress=progress,
    )
    if not result.lists_referrers:
        entry = {**manifest.descriptor.to_json(), "artifactType": artifact_type, **extra}
        _add_to_list(registries, _list_of(subject, described.digest), entry)
    return result


def referrers(
    subject: Reference, digest: str, *, registries: Registries, artifact_type: str | None = None
) -> tuple[Child, ...]:
    """The manifests that refer to a digest, of one type or of all."""
    registry, repository = registries.of(subject), subject.repository
    response = registry.request(
        "GET",
        path_of(repository, "referrers", digest),
        repository=repository,
        scopes=scope(repository, "pull"),
        expect=(200, 404),
        headers={"Accept": INDEX},
    )
    if response.status == 200:
        listed: BytesContent | None = BytesContent.of(response.read(_LARGEST_LIST_BYTES), INDEX)
        response.close()
    else:
        response.text()
        listed = _get_list(registries, _list_of(subject, digest))
    found = children(listed, subject) if listed is not None else ()
    return tuple(one for one in found if artifact_type in (None, one.artifact_type))


def _list_of(subject: Reference, digest: str) -> Reference:
    return subject.tagged(digest.replace(":", "-"))


def _get_list(registries: Registries, place: Reference) -> BytesContent | None:
    try:
        return get_manifest(registries, place)
    except ImageNotFound:
        return None


def _add_to_list(registries: Registries, place: Reference, entry: Mapping[str, object]) -> None:
    """Put the entry on the list that a tag holds, unless it is there."""
    listed = _get_list(registries, place)
    known = parsed(listed.data, place).get("manifests") if listed is not None else None
    entries = [one for one in known if isinstance(one, Mapping)] if isinstance(known, list) else []
    if any(one.get("digest") == entry["digest"] for one in entries):
        return
    body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries, entry]}
    put_manifest(registries, place, BytesContent.of(_json(body), INDEX))


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
