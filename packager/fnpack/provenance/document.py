"""Writes an SBOM: CycloneDX 1.6 as JSON. Importing this imports the CycloneDX library, which takes a moment."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timezone

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

import fnpack
from fnpack.provenance.contents import ImageContents, ModelContents, Package


def write_document(contents: ImageContents, key: str) -> bytes:
    """The SBOM of an image. `key` stands for `contents`; the serial number is made from it, so nothing is random."""
    root = _root(contents)
    base, own = _base(contents), _fnpack()
    app: list[Component] = []
    host: list[Component] = []
    for package in contents.packages:
        (host if package.part == "host" else app).append(_package(package))
    models = [_model(model) for model in contents.models]
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sha256:{key}"),
        components=[base, own, *app, *host, *models],
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(contents.created_s, timezone.utc),
            component=root,
            tools=ToolRepository(components=[_tool()]),
        ),
    )
    bom.register_dependency(root, [base, own, *app, *models])
    bom.register_dependency(own, host)
    text: str = JsonV1Dot6(bom).output_as_string(indent=1)
    return text.encode()


def _root(contents: ImageContents) -> Component:
    facts = {"fnpack:platform": contents.platform, "fnpack:python": contents.python_version}
    return Component(
        type=ComponentType.CONTAINER,
        name=contents.title,
        bom_ref="image",
        properties=[Property(name=name, value=value) for name, value in facts.items()],
    )


def _tool() -> Component:
    return Component(type=ComponentType.APPLICATION, name="fnpack", version=fnpack.__version__)


def _fnpack() -> Component:
    """fnpack's own code in the image: its host, or the adapter that Microsoft's host runs."""
    purl = PackageURL("pypi", name="fnpack", version=fnpack.__version__)
    return Component(
        type=ComponentType.FRAMEWORK,
        name="fnpack",
        version=fnpack.__version__,
        purl=purl,
        bom_ref=f"host:{purl}",
        properties=[Property(name="fnpack:part", value="host")],
    )


def _base(contents: ImageContents) -> Component:
    algorithm, _, value = contents.base_digest.partition(":")
    purl = None
    if contents.base_repository:
        purl = PackageURL(
            "oci",
            name=contents.base_repository.rpartition("/")[2].lower(),
            version=contents.base_digest,
            qualifiers={
                "arch": contents.platform.split("/")[1],
                "repository_url": contents.base_repository,
            },
        )
    return Component(
        type=ComponentType.CONTAINER,
        name=contents.base_name,
        version=contents.base_digest,
        purl=purl,
        bom_ref="base",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=value)] if algorithm == "sha256" else [],
        properties=[Property(name="fnpack:part", value="base")],
    )


def _package(package: Package) -> Component:
    purl = PackageURL(
        package.kind, name=package.name, version=package.version or None, qualifiers=dict(package.qualifiers)
    )
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version or None,
        purl=purl,
        bom_ref=f"{package.part}:{purl}",
        hashes=list(_hashes(package.sha256)),
        properties=[Property(name="fnpack:part", value=package.part)],
    )


def _model(model: ModelContents) -> Component:
    """A folder's files are components of it; a file's digest is the model's."""
    ref = f"model:{model.name}:{model.version}"
    files = [
        Component(
            type=ComponentType.FILE,
            name=file.path,
            bom_ref=f"{ref}/{file.path}",
            hashes=list(_hashes(file.sha256)),
        )
        for file in model.files
    ]
    digest = [] if model.is_file else [Property(name="fnpack:tree-sha256", value=model.sha256)]
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=model.name,
        version=model.version,
        bom_ref=ref,
        hashes=list(_hashes(model.sha256)) if model.is_file else [],
        components=files,
        properties=[Property(name="fnpack:part", value="model"), *digest],
    )


def _hashes(sha256: str) -> Iterator[HashType]:
    if sha256:
        yield HashType(alg=HashAlgorithm.SHA_256, content=sha256)
