"""Artifacts that refer to an image's manifest, such as its SBOM: their manifests, for registries and layouts alike."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fnpack.oci.content import EMPTY, MANIFEST, BytesContent, Content, Descriptor

CYCLONEDX = "application/vnd.cyclonedx+json"  # media type of the document, and type of the artifact
SBOM_ANNOTATIONS = {"org.opencontainers.image.title": "sbom.cdx.json"}
EMPTY_CONFIG = BytesContent.of(b"{}", EMPTY)


def artifact_manifest(
    subject: Descriptor, content: Content, artifact_type: str, annotations: Mapping[str, str] | None = None
) -> BytesContent:
    """The manifest of an artifact of one content that refers to `subject`. The same arguments give the same digest."""
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": EMPTY_CONFIG.descriptor.to_json(),
        "layers": [content.descriptor.to_json()],
        "subject": subject.to_json(),
        **({"annotations": dict(sorted(annotations.items()))} if annotations else {}),
    }
    return BytesContent.of(json.dumps(body, separators=(",", ":")).encode(), MANIFEST)
