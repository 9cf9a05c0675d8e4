"""What fnpack needs to know of a base image, and how it finds out: inspect, pull, and ask its own Python."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fnpack.engine.errors import BaseImageUnavailable, BaseImageWithoutPython
from fnpack.engine.logins import login_for, registry_of
from fnpack.engine.sdk import inspect_image
from fnpack.engine.transfer import TransferFailed, pull
from fnpack.progress import Progress
from fnpack.spec import RegistryLogin

if TYPE_CHECKING:
    from docker.api.client import APIClient

log = logging.getLogger(__name__)

Libc = Literal["glibc", "musl"]
PROBE_TIMEOUT_S = 120  # an emulated platform starts slowly
_PROBE = """
import glob, json, os, sys
try:
    libc = "glibc" if (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc") else None
except (AttributeError, OSError, ValueError):
    libc = None
if libc is None and glob.glob("/lib/ld-musl-*"):
    libc = "musl"
print(json.dumps({"version": "%d.%d" % sys.version_info[:2], "libc": libc}))
"""


@dataclass(frozen=True, slots=True)
class BaseImage:
    """A base image that is on the Engine. `python_version` is "3.11" style, `platform` "linux/amd64" style."""

    reference: str
    image_id: str
    python_version: str
    platform: str
    libc: Libc | None


@dataclass(frozen=True, slots=True)
class _Python:
    version: str
    libc: Libc | None


def find(
    api: APIClient, reference: str, platform: str | None, logins: Sequence[RegistryLogin], progress: Progress
) -> BaseImage:
    """The image as it is on the Engine, and its Python.

    Raises `BaseImageUnavailable` and `BaseImageWithoutPython`.
    """
    found = present(api, reference, platform, logins, progress)
    image_id = str(found["Id"])
    python = _known(image_id) or _remember(image_id, _ask(api, reference, image_id))
    return BaseImage(reference, image_id, python.version, _platform(found), python.libc)


def present(
    api: APIClient, reference: str, platform: str | None, logins: Sequence[RegistryLogin], progress: Progress
) -> Mapping[str, object]:
    """What the Engine says of an image, pulled if it is not there for `platform`. Raises `BaseImageUnavailable`."""
    found = _inspect(api, reference)
    if found is None or not _fits(_platform(found), platform):
        try:
            pull(api, reference, platform, login_for(api, registry_of(reference), logins), progress)
        except TransferFailed as exc:
            raise _unavailable(reference, platform, str(exc)) from exc
        found = _inspect(api, reference)
    if found is None:
        raise _unavailable(reference, platform, "the Engine pulled it but does not list it")
    return found


def _inspect(api: APIClient, reference: str) -> Mapping[str, object] | None:
    from docker.errors import APIError, ImageNotFound

    try:
        return inspect_image(api, reference)
    except ImageNotFound:
        return None
    except APIError as exc:
        raise _unavailable(reference, None, str(exc.explanation or exc)) from exc


def _platform(image: Mapping[str, object]) -> str:
    return "/".join(str(image[key]) for key in ("Os", "Architecture", "Variant") if image.get(key))


def _fits(have: str, want: str | None) -> bool:
    """Whether `linux/arm64/v8` is what `linux/arm64` asks for: parts that either leaves out do not count."""
    return want is None or all(
        mine == theirs for mine, theirs in zip(have.split("/"), want.split("/"), strict=False)
    )


def _unavailable(reference: str, platform: str | None, answer: str) -> BaseImageUnavailable:
    words, registry = answer.lower(), registry_of(reference)
    if any(word in words for word in ("unauthorized", "denied", "no basic auth", "authentication required")):
        hint = f"Check the name, and log in if it is private: docker login {registry}."
    elif "no match for platform" in words or "no matching manifest" in words:
        hint = "Choose a platform that the image is published for, or another base image."
    elif any(word in words for word in ("not found", "manifest unknown", "no such image")):
        hint = "Check the image's name and tag."
    else:
        hint = f"Check that the Engine reaches `{registry}`, or load the image first (docker load)."
    wanted = f" for {platform}" if platform else ""
    return BaseImageUnavailable(
        f"base image `{reference}`{wanted} is not on the Engine and cannot be pulled: {answer}", hint=hint
    )


def _ask(api: APIClient, reference: str, image_id: str) -> _Python:
    """Run the image's python3 once, without network, and remove the container whatever happens."""
    from docker.errors import APIError

    hint = "Use a base image with Python 3 as `python3` on its PATH."
    host_config = api.create_host_config(network_mode="none", cap_drop=["ALL"], read_only=True)
    command = ["python3", "-c", _PROBE]
    container = api.create_container(image_id, entrypoint=command, command=[], host_config=host_config)
    try:
        api.start(container)
        status = api.wait(container, timeout=PROBE_TIMEOUT_S)["StatusCode"]
        output = api.logs(container, stdout=True, stderr=False).decode("utf-8", "replace")
        complaint = api.logs(container, stdout=False, stderr=True).decode("utf-8", "replace").strip()
    except APIError as exc:
        raise BaseImageWithoutPython(
            f"`{reference}` cannot run python3: {exc.explanation or exc}", hint=hint
        ) from exc
    finally:
        with contextlib.suppress(APIError):
            api.remove_container(container, force=True, v=True)
    answer = _parse(output.strip().rpartition("\n")[2])
    if status != 0 or answer is None:
        last = complaint.rpartition("\n")[2] or f"exit status {status}"
        if "exec format error" in last.lower():
            hint = "Give the Engine this platform's emulation (Debian: qemu-user-static and binfmt-support)."
        raise BaseImageWithoutPython(f"`{reference}` cannot run python3: {last}", hint=hint)
    return answer


def _parse(text: str) -> _Python | None:
    try:
        known = json.loads(text)
        version, libc = known["version"], known["libc"]
    except (ValueError, KeyError, TypeError):
        return None
    return _Python(version, libc) if isinstance(version, str) and libc in ("glibc", "musl", None) else None


def _cache_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fnpack" / "base-images.json"


def _cache() -> dict[str, object]:
    try:
        known = json.loads(_cache_file().read_text("utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    return known if isinstance(known, dict) else {}


def _known(image_id: str) -> _Python | None:
    """An image id is a digest of its content: what was true of it stays true."""
    return _parse(json.dumps(_cache().get(image_id)))


def _remember(image_id: str, python: _Python) -> _Python:
    """Write the cache, atomically, as others may be writing it; a cache that cannot be written is no fault."""
    try:
        file = _cache_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as temporary:
            json.dump({**_cache(), image_id: asdict(python)}, temporary, indent=1, sort_keys=True)
        Path(temporary.name).replace(file)
    except (OSError, RuntimeError) as exc:
        log.debug("base image cache not written: %s", exc)
    return python
