from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile as OracleSource

from fnpack.dependencies.wheels import WheelFile
from fnpack.oci.cache import LayerCache
from fnpack.oci.errors import WheelInvalid
from fnpack.oci.place import Place
from fnpack.oci.wheels import WheelsRecipe
from layer_files import Files, each_file, layer_files, layer_tar, wheel_file, write_wheel

ROOT = "/app/site-packages"
PYTHON = "/usr/local/bin/python3.11"
# With every kind of metadata, scripts and compiled parts among them; all are small but one.
SMALL = ("click", "cloudpickle", "pyyaml", "threadpoolctl", "tqdm", "wheel", "numpy")
MOST_USED = (
    "accelerate", "aiohttp", "azure-storage-blob", "catboost", "cffi", "cryptography", "fastapi", "huggingface-hub",
    "jinja2", "joblib", "keras", "lightgbm", "matplotlib", "networkx", "nltk", "numba", "onnx", "onnxruntime",
    "opencv-python-headless", "pandas", "pillow", "polars", "protobuf", "psutil", "pyarrow", "pydantic", "requests",
    "safetensors", "scikit-image", "scikit-learn", "scipy", "sentencepiece", "shap", "spacy", "statsmodels", "sympy",
    "tensorflow-cpu", "tokenizers", "transformers", "xgboost",
)  # fmt: skip
EVERYTHING = os.environ.get("FNPACK_TEST_WHEELS") == "all"


def layered(wheel: WheelFile, cache: LayerCache, *, is_slim: bool = False) -> dict[str, bytes]:
    place = Place(ROOT, None if is_slim else PYTHON, is_slim)
    layer = WheelsRecipe("demo", (wheel,), place).make(cache)
    return {path.removeprefix(ROOT.strip("/") + "/"): short(data) for path, data in each_file(layer)}


def by_oracle(wheel: WheelFile, folder: Path) -> dict[str, bytes]:
    """What pip's reference library makes of the wheel, in the places of `pip install --target`."""
    name = wheel.filename.partition("-")[0]
    scheme = {"purelib": folder, "platlib": folder, "scripts": folder / "bin", "data": folder}
    scheme["headers"] = folder / "include" / name
    destination = SchemeDictionaryDestination(
        {key: str(place) for key, place in scheme.items()}, interpreter=PYTHON, script_kind="posix"
    )
    with OracleSource.open(wheel.path) as source:
        install(source, destination, additional_metadata={"INSTALLER": b"fnpack\n"})
    return {
        path.relative_to(folder).as_posix(): short(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def short(data: bytes) -> bytes:
    """A large file's digest stands for it: a package may be larger than the memory."""
    return data if len(data) < 4 << 20 else hashlib.sha256(data).digest()


def assert_same(ours: dict[str, bytes], theirs: dict[str, bytes]) -> None:
    assert set(ours) == set(theirs)
    for path, data in theirs.items():
        if path.endswith(".dist-info/RECORD"):
            mine, expected = record_rows(ours[path]), record_rows(data)
            assert set(mine) == set(expected)
            assert {k: v for k, v in mine.items() if k[:4] != "bin/"} == {
                k: v for k, v in expected.items() if k[:4] != "bin/"
            }
        elif not is_console_script(data):
            assert ours[path] == data, path


def record_rows(data: bytes) -> dict[str, tuple[str, str]]:
    rows = csv.reader(io.StringIO(data.decode(), newline=""))
    return {
        path.removeprefix("./"): (digest, size) for path, digest, size in rows if not path.endswith("/RECORD")
    }


def is_console_script(data: bytes) -> bool:
    return data.startswith(f"#!{PYTHON}".encode()) and b"sys.exit(" in data


FULL: Files = {
    "demo/__init__.py": b"def main():\n    print('hello')\n    return 3\n",
    "demo/ext.so": bytes(range(256)) * 40,
    "demo/empty.py": b"",
    "demo/__pycache__/evil.cpython-311.pyc": b"not what its source says",
    "demo/run.sh|755": b"#!/bin/sh\n" + b"echo\n" * 200,
    "demo.pth": b"./more\n",
    "demo-1.0.data/scripts/demo-tool|755": b"#!python\nprint('tool')\n",
    "demo-1.0.data/scripts/demo-shell|755": b"#!/bin/sh\necho\n",
    "demo-1.0.data/data/share/demo/file.txt": b"data",
    "demo-1.0.data/headers/demo.h": b"#define DEMO\n",
    "demo-1.0.data/purelib/demo_pure.py": b"x = 1\n",
    "demo-1.0.data/platlib/demo_plat.py": b"y = 1\n",
    "demo-1.0.dist-info/entry_points.txt": (
        b"[console_scripts]\ndemo = demo:main\n[gui_scripts]\ndemo-gui = demo:main\n"
    ),
}


@pytest.mark.filterwarnings("ignore:Skip installing .*__pycache__:RuntimeWarning")
def test_a_wheel_with_everything_becomes_what_installer_makes_of_it(
    tmp_path: Path, cache: LayerCache
) -> None:
    wheel = write_wheel(tmp_path, files=FULL)
    ours = layered(wheel, cache)
    assert_same(ours, by_oracle(wheel, tmp_path / "oracle"))
    assert ours["bin/demo-tool"] == f"#!{PYTHON}\nprint('tool')\n".encode()
    assert not any("__pycache__" in path for path in ours)
    assert ours["bin/demo-shell"] == b"#!/bin/sh\necho\n"


def test_what_may_be_run_may_be_run_in_the_image(tmp_path: Path, cache: LayerCache) -> None:
    layer = WheelsRecipe("demo", (write_wheel(tmp_path, files=FULL),), Place(ROOT, PYTHON)).make(cache)
    with tarfile.open(fileobj=io.BytesIO(layer_tar(layer))) as archive:
        runs = {
            one.name.removeprefix("app/site-packages/")
            for one in archive
            if one.isreg() and one.mode == 0o755
        }
    assert runs == {"demo/run.sh", "bin/demo", "bin/demo-gui", "bin/demo-tool", "bin/demo-shell"}


def test_a_console_script_runs_from_anywhere(tmp_path: Path, cache: LayerCache) -> None:
    root = tmp_path / "root"
    recipe = WheelsRecipe("demo", (write_wheel(tmp_path, files=FULL),), Place(str(root), sys.executable))
    for path, data in layer_files(recipe.make(cache)).items():
        file = Path("/", path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    done = subprocess.run(
        [sys.executable, root / "bin" / "demo"], cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("hello\n", 3)


def test_slim_leaves_out_scripts_and_what_only_builds_need(tmp_path: Path, cache: LayerCache) -> None:
    files = {**FULL, "demo/types.pyi": b"x: int", "demo/fast.pyx": b"", "demo/fast.h": b"", "demo/x.py": b""}
    slim = layered(write_wheel(tmp_path, files=files), cache, is_slim=True)
    assert not any(path.startswith("bin/") or path.endswith((".pyi", ".pyx", ".h")) for path in slim)
    assert {"demo/x.py", "demo/ext.so", "share/demo/file.txt"} <= set(slim)
    assert set(record_rows(slim["demo-1.0.dist-info/RECORD"])) == set(slim) - {"demo-1.0.dist-info/RECORD"}


@pytest.mark.skipif(sys.platform != "linux", reason="the libraries are ELF files")
def test_slim_cuts_debug_information_and_the_library_still_loads(tmp_path: Path, cache: LayerCache) -> None:
    import ctypes
    import zlib

    with Path("/proc/self/maps").open() as maps:
        library = next(Path(line.split()[-1]) for line in maps if "libc.so" in line or "libm.so" in line)
    data = library.resolve().read_bytes()
    noise = zlib.compress(os.urandom(1 << 20)) * 40  # debug information, for the purpose
    slim = layered(write_wheel(tmp_path, files={"demo/lib.so": data + noise}), cache, is_slim=True)
    assert len(slim["demo/lib.so"]) <= len(data)
    (tmp_path / "lib.so").write_bytes(slim["demo/lib.so"])
    ctypes.CDLL(str(tmp_path / "lib.so"))


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"demo-1.0.data/elsewhere/x": b""}, "goes to a place that wheels do not have"),
        ({"demo-1.0.data/purelib/demo/x": b"", "demo/x": b"1"}, "would be installed twice"),
        ({"demo-1.0.data/purelib/demo/x": b"", "demo/x/y": b""}, "would be both a file and a folder"),
        ({"demo-1.0.dist-info/entry_points.txt": b"[console_scripts]\n../x = a:b\n"}, "cannot be written"),
        (
            {"demo-1.0.dist-info/entry_points.txt": b"[console_scripts]\nx = a:b; import os\n"},
            "cannot be written",
        ),
        ({"demo-1.0.dist-info/entry_points.txt": b"console_scripts\n"}, "cannot be read"),
    ],
)
def test_what_cannot_be_installed_is_refused(
    tmp_path: Path, cache: LayerCache, files: Files, what: str
) -> None:
    with pytest.raises(WheelInvalid, match=what):
        layered(write_wheel(tmp_path, files=files), cache)


@pytest.fixture(scope="session")
def real_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages' newest wheels, as pip gets them for this machine."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
    ]
    done = subprocess.run(
        [*command, str(folder), *(MOST_USED if EVERYTHING else SMALL)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.filterwarnings("ignore:Skip installing .*__pycache__:RuntimeWarning")
@pytest.mark.timeout(3000 if EVERYTHING else 120)
def test_real_wheels_become_what_installer_makes_of_them(
    real_wheels: Path, cache: LayerCache, tmp_path: Path
) -> None:
    """FNPACK_TEST_WHEELS=all does so with the forty most used in machine learning."""
    for path in sorted(real_wheels.glob("*.whl")):
        wheel = wheel_file(path)
        assert_same(layered(wheel, cache), by_oracle(wheel, tmp_path / wheel.name))
        for done in (tmp_path / wheel.name, cache.folder):
            shutil.rmtree(done)
        path.unlink()
