"""What refers to a manifest (SBOMs, provenance): attached to it, and listed. Not all registries keep such lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from fnpack.oci.artifacts import EMPTY_CONFIG, artifact_manifest
from fnpack.oci.content import INDEX, BytesContent, Content, Descriptor, Layer
from fnpack.progress import Progress, ignore
from fnpack.registry.challenges import scope
from fnpack.registry.client import Registries, path_of
from fnpack.registry.manifests import Child, children, parsed, put_manifest
from fnpack.registry.memory import PushedBlobs
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
    ready: Callable[[], None] = lambda: None,
) -> PushResult:
    """Push an artifact that refers to the manifest `described` in the repository of `subject`.

    The manifest may come later, as OCI's specification has it. `ready` is called before anything refers to it; what
    it raises ends the push.
    In a registry that keeps no list of referrers the tag `sha256-<hex>` is one, as OCI's specification has it. What
    this machine attached there within a day is not sent again; the registry's loss of a blob makes it forget that.
    """
    manifest = artifact_manifest(described, content, artifact_type, annotations)
    digest, pushed = manifest.descriptor.digest, PushedBlobs(registries.memory, subject.name)
    if digest in pushed.known():
        return PushResult(subject.at(digest), manifest.descriptor, known=2)
    result = push_image(
        Reference(subject.registry, subject.repository, digest=digest),
        manifest=manifest,
        config=EMPTY_CONFIG,
        layers=[Layer(content, content.descriptor.digest, artifact_type)],
        registries=registries,
        progress=progress,
        ready=ready,
    )
    if not result.lists_referrers:
        extra = {"annotations": dict(sorted(annotations.items()))} if annotations else {}
        entry = {**manifest.descriptor.to_json(), "artifactType": artifact_type, **extra}
        _add_to_list(registries, _list_of(subject, described.digest), entry)
    pushed.remember([digest])
    return result


def referrers(
    subject: Reference, digest: str, *, registries: Registries, artifact_type: str | None = None
) -> tuple[Child, ...]:
    """The manifests that refer to a digest, of one type or of all."""
    listed = _get_index(registries, subject, "referrers", digest)
    if listed is None:
        listed = _get_index(registries, subject, "manifests", _list_of(subject, digest).identifier)
    found = children(listed, subject) if listed is not None else ()
    return tuple(one for one in found if artifact_type in (None, one.artifact_type))


def _list_of(subject: Reference, digest: str) -> Reference:
    return subject.tagged(digest.replace(":", "-"))


def _get_index(registries: Registries, subject: Reference, kind: str, name: str) -> BytesContent | None:
    """An index that need not be there; with one request, since that it is missing is nothing to give advice on."""
    response = registries.of(subject).request(
        "GET",
        path_of(subject.repository, kind, name),
        repository=subject.repository,
        scopes=scope(subject.repository, "pull"),
        expect=(200, 404),
        headers={"Accept": INDEX},
    )
    if response.status != 200:
        response.text()
        return None
    listed = BytesContent.of(response.read(_LARGEST_LIST_BYTES), INDEX)
    response.close()
    return listed


def _add_to_list(registries: Registries, place: Reference, entry: Mapping[str, object]) -> None:
    """Put the entry on the list that a tag holds, unless it is there."""
    listed = _get_index(registries, place, "manifests", place.identifier)
    known = parsed(listed.data, place).get("manifests") if listed is not None else None
    entries = [one for one in known if isinstance(one, Mapping)] if isinstance(known, list) else []
    if any(one.get("digest") == entry["digest"] for one in entries):
        return
    body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries, entry]}
    put_manifest(registries, place, BytesContent.of(_json(body), INDEX))


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
