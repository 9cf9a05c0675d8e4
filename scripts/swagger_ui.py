"""Brings a version of Swagger UI into the function host: `python scripts/swagger_ui.py 5.35.0`.

Takes npm's package `swagger-ui-dist` and keeps the two files that the page at `/docs` needs, compressed, with their
licences. Needs npm; run it by hand, review and commit what it writes.
"""

from __future__ import annotations

import io
import json
import lzma
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "function_host" / "fnpack_host" / "http" / "swagger_ui"
COMPRESSED = ("swagger-ui-bundle.js", "swagger-ui.css")
AS_THEY_ARE = ("LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt")
LICENCE = "Apache-2.0"


def fetch(version: str) -> dict[str, bytes]:
    """The files of the package, by name."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, f"swagger-ui-dist@{version}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        content = archive.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        wanted = [f"package/{name}" for name in (*COMPRESSED, *AS_THEY_ARE, "package.json")]
        return {
            Path(name).name: file.read() for name in wanted if (file := tar.extractfile(name)) is not None
        }


def main() -> None:
    """Write the files."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    files = fetch(sys.argv[1])
    facts = json.loads(files["package.json"])
    if facts["license"] != LICENCE:
        raise SystemExit(
            f"the package is under {facts['license']}, no longer under {LICENCE}: look at that first"
        )
    for name in COMPRESSED:
        packed = lzma.compress(files[name], preset=9 | lzma.PRESET_EXTREME)
        (TARGET / f"{name}.xz").write_bytes(packed)
    for name in AS_THEY_ARE:
        (TARGET / name).write_bytes(files[name])
    (TARGET / "VERSION").write_text(f"{facts['version']}\n", "utf-8")


if __name__ == "__main__":
    main()
