from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_path_files_of_packages_are_followed(tmp_path: Path) -> None:
    packages = tmp_path / ".python_packages" / "lib" / "site-packages"
    (packages / "more").mkdir(parents=True)
    (packages / "more" / "extra.py").write_text("x = 1")
    (packages / "demo.pth").write_text("more\n")
    program = (
        "import sys; from pathlib import Path; from fnpack_host.worker.__main__ import use_app_first\n"
        f"use_app_first(Path({str(tmp_path)!r}))\n"
        "import extra; print(sys.path[:2], sys.path.count(sys.path[1]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{[str(tmp_path), str(packages)]} 1"


def test_commands_of_packages_are_found(tmp_path: Path) -> None:
    command = tmp_path / ".python_packages" / "lib" / "site-packages" / "bin" / "demo"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\necho found\n")
    command.chmod(0o755)
    program = (
        "import subprocess; from pathlib import Path; from fnpack_host.worker.__main__ import use_app_first\n"
        f"use_app_first(Path({str(tmp_path)!r})); subprocess.run(['demo'], check=True)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "found\n"
