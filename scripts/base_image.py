"""Makes the base image that tests and the demo build on where no registry can be reached: Debian with its own Python.

It is made once by mmdebstrap from the machine's Debian mirror, as no Dockerfile can be without a base to begin from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from services import UnavailableError

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = "fnpack-test/debian-python"
SUITE = "bookworm"
LOCAL_IMAGE = f"{REPOSITORY}:{SUITE}"
PUBLIC_IMAGE = "python:3.11-slim-bookworm"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
HOST_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")


@contextlib.contextmanager
def docker_engine() -> Iterator[DockerClient]:
    """A client of the Docker Engine that answers here, or the reason why none does."""
    import docker
    from docker.errors import DockerException

    try:
        knock()
        client = docker.from_env()
    except (OSError, DockerException) as error:
        raise UnavailableError("no Docker Engine answers; start Docker, or set DOCKER_HOST") from error
    with contextlib.closing(client):
        yield client


def knock() -> None:
    """Raise OSError where nothing listens at the Engine's socket; the docker SDK would leave its own socket open."""
    kind, _, place = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    if kind == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(place)


def ensure(client: DockerClient) -> str:
    """The reference of a base image with Python that is in the Engine; makes or pulls it the first time."""
    from docker.errors import DockerException

    named = os.environ.get("FNPACK_TEST_BASE_IMAGE")
    if named:
        return named
    if client.images.list(LOCAL_IMAGE):
        return LOCAL_IMAGE
    if can_make():
        make(client)
        return LOCAL_IMAGE
    try:
        if not client.images.list(PUBLIC_IMAGE):
            client.images.pull(PUBLIC_IMAGE)
    except DockerException as error:
        raise UnavailableError(
            f"no base image: `{PUBLIC_IMAGE}` cannot be pulled, and making one needs root and mmdebstrap"
        ) from error
    return PUBLIC_IMAGE


def make(client: DockerClient) -> None:
    """Make a minimal Debian with python3 and import it as an image."""
    with tempfile.TemporaryDirectory(prefix="fnpack-base-") as scratch:
        archive = make_archive(Path(scratch))
        client.api.import_image_from_file(
            str(archive), repository=REPOSITORY, tag=SUITE, changes=['CMD ["python3"]']
        )


def make_layout(folder: Path, architecture: str | None = None) -> str:
    """The same in an OCI layout, for a build without an Engine; returns it as `--base-image` takes it.

    `architecture` is Debian's name of another one than this machine's (`arm64`).
    """
    from fnpack.oci.content import LAYER, Descriptor, FileContent, Layer
    from fnpack.oci.image import ImageSettings, build
    from fnpack.oci.outputs import write_layout

    if not can_make():
        raise UnavailableError("no base image: making one needs root and mmdebstrap")
    archive = make_archive(folder, architecture)
    with archive.open("rb") as file:
        digest = f"sha256:{file_digest(file)}"
    layer = Layer(FileContent(Descriptor(LAYER, digest, archive.stat().st_size), archive), digest, "Debian")
    facts = {
        "os": "linux",
        "architecture": architecture or ARCHITECTURES.get(platform.machine(), platform.machine()),
        "config": {"Cmd": ["python3"]},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    image = build(facts, [layer], [], ImageSettings({}, {}), created="1970-01-01T00:00:00Z", annotations={})
    write_layout([image], folder / "base")
    archive.unlink()
    return f"oci-layout:{folder / 'base'}"


def can_make() -> bool:
    """Whether this machine has what making a base image takes."""
    return shutil.which("mmdebstrap") is not None and os.geteuid() == 0


def make_archive(folder: Path, architecture: str | None = None) -> Path:
    """A minimal Debian with python3 as a tar in `folder`.

    One for another architecture is unpacked and not configured: that would run its programs.
    """
    print(f"making a base image of Debian {SUITE} (about half a minute)", file=sys.stderr, flush=True)
    archive = folder / "root.tar"
    how = ["--variant=extract", f"--architectures={architecture}"] if architecture else ["--variant=minbase"]
    command = [
        "mmdebstrap",
        *how,
        "--include=python3,ca-certificates",
        "--quiet",
        SUITE,
        str(archive),
    ]
    done = subprocess.run([*command, *mirror()], check=False, text=True, capture_output=True)
    if done.returncode != 0:
        raise UnavailableError(f"mmdebstrap could not make a base image:\n{done.stderr[-2000:]}")
    return archive


def file_digest(file: BinaryIO) -> str:
    """The SHA-256 of a file, in hex digits."""
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def mirror() -> list[str]:
    """The machine's own Debian sources where it runs the same release; otherwise mmdebstrap's default."""
    release = Path("/etc/os-release")
    same = release.is_file() and f"VERSION_CODENAME={SUITE}" in release.read_text() and HOST_SOURCES.is_file()
    return [str(HOST_SOURCES)] if same else []


def main() -> int:
    """Print the reference of the base image, made first if need be."""
    try:
        with docker_engine() as client:
            print(ensure(client))
    except UnavailableError as error:
        print(f"base image: {error}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
