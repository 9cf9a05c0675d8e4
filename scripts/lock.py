"""Resolves `requirements/*.in` into locks with hashes that hold for Python 3.10 to 3.13 and name no index."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from setup import REQUIREMENTS, ROOT, UV, uv_environment

IMAGE = ROOT / "templates" / "fnpack_templates" / "image"
OPTIONS = (
    "--universal",
    "--python-version=3.10",
    "--generate-hashes",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--quiet",
)


@dataclass(frozen=True)
class Lock:
    """A lock, named after its input, where it goes, and how else it is resolved."""

    name: str
    folder: Path = REQUIREMENTS
    sources: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


# An image gets the versions that the tests run with. What nobody reads there is left out: comments, and cryptography
# with what only cryptography needs, which the host does without (triggers/fnpack_triggers/azure_imports.py) unless it
# signs in with an identity.
IN_IMAGES = ("--no-annotate", "--constraint=requirements/dev.txt")
WITHOUT_CRYPTOGRAPHY = (
    *IN_IMAGES,
    "--no-emit-package=cryptography",
    "--no-emit-package=cffi",
    "--no-emit-package=pycparser",
)
LOCKS = (
    Lock("bootstrap"),
    Lock("node"),
    Lock("dev", sources=("pyproject.toml", "--extra", "all")),
    Lock("host-http", IMAGE, options=IN_IMAGES),
    Lock("host-storage", IMAGE, options=WITHOUT_CRYPTOGRAPHY),
    Lock("host-servicebus", IMAGE, options=WITHOUT_CRYPTOGRAPHY),
    Lock("host-identity", IMAGE, options=IN_IMAGES),
)


def main() -> int:
    """Resolve each lock anew, keeping pins that still fit unless `--upgrade` is given."""
    for lock in LOCKS:
        target = (lock.folder / f"{lock.name}.txt").relative_to(ROOT)
        inputs = (*lock.sources, f"requirements/{lock.name}.in", "--output-file", str(target))
        command = [str(UV), "pip", "compile", *OPTIONS, *lock.options, *sys.argv[1:], *inputs]
        subprocess.run(command, cwd=ROOT, env=uv_environment(), check=True, stdout=subprocess.DEVNULL)
        print(f"locked {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
