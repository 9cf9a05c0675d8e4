"""Lets this machine's kernel run programs for 64-bit ARM through qemu, for the tests of images for it.

`python3 scripts/emulation.py` registers it until the next start, as CI does, with nothing but Python's own library.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

FORMATS = Path("/proc/sys/fs/binfmt_misc")
PROGRAM = "qemu-aarch64-static"
# How a program for Linux on 64-bit ARM begins (elf(5): class, byte order, version; type; machine 183).
_MAGIC = rb"\x7fELF\x02\x01\x01\x00" + rb"\x00" * 8 + rb"\x02\x00\xb7\x00"
_MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00" + rb"\xff" * 8 + rb"\xfe\xff\xff\xff"


def register() -> None:
    """Make the kernel start programs for 64-bit ARM with qemu, in containers as well. Raises OSError."""
    if runs_arm64():
        return
    program = shutil.which(PROGRAM)
    if program is None:
        raise FileNotFoundError(f"{PROGRAM} is not installed (Debian: qemu-user-static)")
    if not (FORMATS / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", FORMATS], check=False)
    # F: the kernel opens qemu now, so that containers need not hold it (kernel: admin-guide/binfmt-misc).
    (FORMATS / "register").write_bytes(b":qemu-aarch64:M::%b:%b:%b:F" % (_MAGIC, _MASK, program.encode()))


def runs_arm64() -> bool:
    """Whether this machine is one, or its kernel knows somebody who can play it inside a container."""
    if platform.machine() in {"aarch64", "arm64"}:
        return True
    try:
        entries = [one.read_text() for one in FORMATS.iterdir() if one.name not in {"register", "status"}]
    except OSError:
        return False
    return any(_plays_arm64(entry.splitlines()) for entry in entries)


def _plays_arm64(entry: list[str]) -> bool:
    """Whether an entry is on, has its program open (F), and is for machine 183."""
    is_open = any(line.startswith("flags:") and "F" in line.partition(":")[2] for line in entry)
    return "enabled" in entry and is_open and any(re.match(r"magic .*0200b700$", line) for line in entry)


def main() -> int:
    """Register qemu, or say why not."""
    try:
        register()
    except OSError as error:
        print(f"emulation: {error}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
