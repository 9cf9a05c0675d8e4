"""A base image that needs no registry: one program of this machine, with the libraries that it loads."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fnpack.oci.base import Base
from fnpack.oci.base.files import file_base
from image_files import Tree, write_base_layout


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """Has nothing but `cat`."""
    cat = shutil.which("cat")
    if sys.platform != "linux" or cat is None:
        pytest.skip("needs the programs of a Linux machine")
    listed = subprocess.run(["ldd", cat], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    tree: Tree = {"bin/cat": Path(cat).read_bytes(), "tmp": None}
    tree = {**tree, **{path.lstrip("/"): Path(path).read_bytes() for path in libraries}}
    return file_base(write_base_layout(tmp_path_factory.mktemp("base"), [tree], Env=["PATH=/bin"]))
