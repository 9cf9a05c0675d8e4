"""Image registries: pull and push over HTTP, without a daemon, with the logins that docker and podman keep.

It knows what blobs, manifests and tags are, and nothing of what is in a layer. Importing it opens no connection and
imports neither http.client nor docker.
"""

from fnpack.registry.base import RegistryBase, RemoteContent
from fnpack.registry.blobs import open_blob, read_blob
from fnpack.registry.client import Registries
from fnpack.registry.errors import RegistryError
from fnpack.registry.manifests import get_manifest, head_manifest, list_tags
from fnpack.registry.push import Push, PushResult, push_image, push_index
from fnpack.registry.reference import Reference
from fnpack.registry.settings import RegistrySettings

__all__ = [
    "Push",
    "PushResult",
    "Reference",
    "Registries",
    "RegistryBase",
    "RegistryError",
    "RegistrySettings",
    "RemoteContent",
    "get_manifest",
    "head_manifest",
    "list_tags",
    "open_blob",
    "push_image",
    "push_index",
    "read_blob",
]
