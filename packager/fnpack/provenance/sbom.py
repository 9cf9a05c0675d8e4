"""SBOMs, kept by what they are made from: that of an unchanged image is read and not written anew."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress

import fnpack
from fnpack.cache_folder import cache_folder
from fnpack.dependencies.cache import writing
from fnpack.dependencies.errors import CacheUnusable
from fnpack.oci.artifacts import CYCLONEDX
from fnpack.oci.content import BytesContent
from fnpack.provenance.contents import ImageContents

_FORMAT = "1"  # another way of writing documents is another document


def sbom_of(contents: ImageContents) -> BytesContent:
    """The CycloneDX document of an image. The same contents give the same bytes, on every machine."""
    facts = json.dumps([_FORMAT, fnpack.__version__, contents._asdict()], sort_keys=True)
    key = hashlib.sha256(facts.encode()).hexdigest()
    kept = cache_folder() / "sboms" / f"{key}.json"
    try:
        data = kept.read_bytes()
    except OSError:
        from fnpack.provenance.document import write_document

        data = write_document(contents, key)
        with suppress(CacheUnusable), writing(kept) as file:
            file.write(data)
    return BytesContent.of(data, CYCLONEDX)
