"""Conda environments from a channel that the tests make."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conda_channel import PLACEHOLDER, Package, add, index
from fnpack.dependencies.conda import lock as locking
from fnpack.dependencies.conda import prefix as prefixes
from fnpack.dependencies.conda.environment import CondaEnvironment, conda_environment
from fnpack.dependencies.conda.errors import ChannelUnreachable, CondaNotPossible, UnsatisfiableConda
from fnpack.dependencies.conda.lock import lock_conda
from fnpack.dependencies.conda.lockfile import CondaLock
from fnpack.dependencies.conda.prefix import install
from fnpack.dependencies.errors import LockFileError, LockOutOfDate, UnsatisfiableRequirements
from fnpack.dependencies.lock import Requirements
from fnpack.dependencies.provide import resolve, wheels
from fnpack.dependencies.target import Target
from fnpack.spec import CondaPackages, LockMode
from package_index import Index, make_wheel

AMD64, ARM64 = Target("linux/amd64", "3.11"), Target("linux/arm64", "3.11")
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
CACHED = b"\x00" * 16 + b"code"  # a compiled module whose source has a time


def python(version: str, subdir: str) -> Package:
    """A `python` that is the one of this test."""
    minor = ".".join(version.split(".")[:2])
    script = f'#!/bin/sh\nexec {sys.executable} "$@"\n'.encode()
    return Package(
        "python",
        version,
        {f"bin/python{minor}": script, f"lib/python{minor}/os.py": b"x = 1\n"},
        subdir=subdir,
        links={"bin/python": f"python{minor}"},
        executables=[f"bin/python{minor}"],
    )


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel with two Pythons, a library with its prefix in it, and tools."""
    folder = tmp_path_factory.mktemp("channel")
    for subdir in ("linux-64", "linux-aarch64"):
        for version in {"3.11.9", "3.12.4", f"{OWN}.1"}:
            add(folder, python(version, subdir))
        files = {
            "lib/libfoo.so": b"\x7fELF" + PLACEHOLDER.encode() + b"\0rest",
            "etc/foo.conf": f"home={PLACEHOLDER}/share\n".encode(),
        }
        kinds = {"lib/libfoo.so": "binary", "etc/foo.conf": "text"}
        add(folder, Package("libfoo", "2.1", files, subdir=subdir, with_prefix=kinds, ending=".tar.bz2"))
        add(folder, Package("modern", "1.0", {"modern": b""}, subdir=subdir, depends=["__glibc >=2.34"]))
    for version in ("1.0", "1.1"):
        add(
            folder,
            project("tool", version, ["python >=3.8", "libfoo >=2"], entry_points=["tool = tool:main"]),
        )
    add(folder, project("numpy", "1.26.4", ["python"]))
    add(folder, project("needs-tool", "1.0", ["python", "tool >=2"]))
    index(folder)
    return folder


def project(
    name: str, version: str, depends: list[str], entry_points: tuple[str, ...] | list[str] = ()
) -> Package:
    module = name.replace("-", "_")
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText\n".encode()
    files = {
        f"site-packages/{module}/__init__.py": f"version = {version!r}\ndef main():\n    print(version)\n".encode(),
        f"site-packages/{module}-{version}.dist-info/METADATA": metadata,
        f"site-packages/{module}/extra.pyc": CACHED,
    }
    return Package(name, version, files, depends=depends, noarch="python", entry_points=entry_points)


@pytest.fixture(autouse=True)
def rattler_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "rattler"))
    monkeypatch.setenv("CONDARC", os.devnull)
    for name in ("CONDA_CHANNEL_ALIAS", "CONDA_OVERRIDE_CUDA", "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def locked(channel: Path, project: Path) -> Callable[..., CondaLock]:
    def run(
        *specs: str, targets: tuple[Target, ...] = (AMD64,), mode: LockMode = "reuse", at: str = ""
    ) -> CondaLock:
        return lock_conda(CondaPackages(specs, (at or str(channel),)), targets, project=project, mode=mode)

    return run


@pytest.fixture
def no_solver(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(locking, "_solve", lambda *_: pytest.fail("solved again"))


def versions(lock: CondaLock, platform: str = "linux/amd64") -> dict[str, str]:
    return {package.name: package.version for package in lock.packages_for(platform)}


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Modes and contents of all files below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        if path.is_symlink():
            found[name] = (0, bytes(path.readlink()))
        else:
            found[name] = (mode, path.read_bytes() if path.is_file() else b"")
    return found


def test_environment_is_locked_with_all_that_it_needs(locked, project: Path) -> None:
    lock = locked("python=3.11", "tool=1.0")
    assert versions(lock) == {"libfoo": "2.1", "python": "3.11.9", "tool": "1.0"}
    assert all(package.sha256 for package in lock.packages)
    assert lock.path == project / "condalock.toml"
    assert 'specs = ["python=3.11", "tool=1.0"]' in lock.path.read_text()


def test_lock_that_holds_is_reused_without_the_solver(locked, no_solver) -> None:
    first = locked("python=3.11", "tool")
    no_solver()
    again = locked("python=3.11", "tool")
    assert again.packages == first.packages
    assert not again.is_new


def test_changed_environment_keeps_versions_that_fit_and_upgrade_does_not(locked) -> None:
    locked("python=3.11", "tool=1.0")
    assert versions(locked("python=3.11", "tool", "numpy"))["tool"] == "1.0"
    assert versions(locked("python=3.11", "tool", "numpy", mode="upgrade"))["tool"] == "1.1"


def test_locked_refuses_to_solve_and_says_what_changed(locked) -> None:
    locked("python=3.11")
    with pytest.raises(
        LockOutOfDate, match=r"condalock.toml does not fit: the conda package `tool` is not in it"
    ):
        locked("python=3.11", "tool", mode="locked")


def test_spoilt_lock_is_named(locked, project: Path) -> None:
    locked("python=3.11")
    path = project / "condalock.toml"
    for spoilt in (
        "[inputs",
        "[inputs]\nversion = 9\n",
        "",
        path.read_text().replace('name = "python"\n', ""),
    ):
        path.write_text(spoilt)
        with pytest.raises(LockFileError, match=r"condalock.toml cannot be read"):
            locked("python=3.11")


@pytest.mark.parametrize(
    ("specs", "reason"),
    [
        (["python=3.11", "nosuch"], "No candidates were found for nosuch"),
        (["python=3.11", "needs-tool"], "tool >=2"),
        (["python=3.11", "modern"], "__glibc"),
    ],
)
def test_what_no_channel_has_shows_the_solvers_reason(locked, specs: list[str], reason: str) -> None:
    with pytest.raises(UnsatisfiableConda) as caught:
        locked(*specs)
    assert caught.value.code == "FN490"
    assert reason in str(caught.value)
    assert "linux/amd64" in str(caught.value)


def test_package_for_a_newer_system_is_taken_where_the_base_image_has_it(locked) -> None:
    newer = Target("linux/amd64", "3.11", libc_version=(2, 36))
    lock = locked("python=3.11", "modern", targets=(newer,))
    assert lock.inputs.platforms == {"linux/amd64": "glibc 2.36"}


def test_musl_is_refused(locked) -> None:
    with pytest.raises(CondaNotPossible, match="musl"):
        locked("python=3.11", targets=(Target("linux/amd64", "3.11", "musl"),))


def test_channel_that_is_not_there_is_told(locked, tmp_path: Path) -> None:
    with pytest.raises(ChannelUnreachable, match="a conda channel cannot be read"):
        locked("python=3.11", at=str(tmp_path / "nowhere"))


def test_prefix_of_the_image_is_in_texts_binaries_and_scripts(locked) -> None:
    prefix = install(locked("python=3.11", "tool"), AMD64)
    tree = prefix.path
    assert (tree / "etc/foo.conf").read_text() == "home=/opt/conda-env/share\n"
    library = (tree / "lib/libfoo.so").read_bytes()
    assert library.startswith(b"\x7fELF/opt/conda-env\0")
    assert len(library) == len(b"\x7fELF" + PLACEHOLDER.encode() + b"\0rest")
    assert (tree / "bin/tool").read_text().startswith("#!/opt/conda-env/bin/python3.11\n")
    assert (tree / "bin/python").readlink() == Path("python3.11")
    assert (tree / "lib/python3.11/site-packages/tool/__init__.py").is_file()
    assert (prefix.python, prefix.site_packages) == (
        "/opt/conda-env/bin/python",
        "/opt/conda-env/lib/python3.11/site-packages",
    )
    assert (prefix.python_version, prefix.provided) == ("3.11", ("tool==1.1",))


def test_same_lock_gives_the_same_bytes_anywhere(
    locked, tmp_path: Path, clean_user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = locked(f"python={OWN}", "tool", "numpy")
    one = install(lock, AMD64)
    first = contents(one.path)
    monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another cache"))
    old = os.umask(0o077)
    try:
        two = install(lock, AMD64)
    finally:
        os.umask(old)
    assert two.digest == one.digest
    assert two.path != one.path
    assert contents(two.path) == first
    joined = b"".join(data for _, data in first.values())
    for secret in (str(tmp_path), str(clean_user)):
        assert secret.encode() not in joined


def test_compiled_modules_do_not_depend_on_times(locked) -> None:
    tree = install(locked(f"python={OWN}", "tool"), AMD64).path
    compiled = list(tree.rglob("*.pyc"))
    assert all(path.read_bytes()[4:8] == b"\x01\0\0\0" for path in compiled)
    (shipped,) = [path for path in compiled if path.name == "extra.pyc"]
    assert shipped.read_bytes().endswith(b"code")


@pytest.mark.skipif(sys.platform != "linux", reason="the environment is for Linux")
def test_modules_are_compiled_where_the_environment_runs(locked) -> None:
    import platform

    own, other = (AMD64, ARM64) if platform.machine() == "x86_64" else (ARM64, AMD64)
    lock = locked(f"python={OWN}", "tool", targets=(own, other))
    here, there = install(lock, own), install(lock, other)
    assert list(here.path.glob("**/tool/__pycache__/__init__.*.pyc"))
    assert not list(there.path.glob("**/__pycache__"))
    assert here.digest != there.digest


def test_second_install_is_read_from_the_cache(locked, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = locked("python=3.11", "tool")
    first = install(lock, AMD64)
    monkeypatch.setattr(prefixes, "_make", lambda *_, **__: pytest.fail("laid out again"))
    assert install(lock, AMD64) == first


def test_cache_of_packages_is_not_changed(locked, tmp_path: Path) -> None:
    install(locked(f"python={OWN}", "tool"), AMD64)
    (cached,) = (tmp_path / "rattler").rglob("site-packages/tool/extra.pyc")
    assert cached.read_bytes() == CACHED


def test_environment_without_python_gets_the_one_asked_for(channel: Path, project: Path) -> None:
    conda = CondaPackages(("libfoo",), (str(channel),))
    found = conda_environment(conda, [Target("linux/amd64", "3.12")], project=project)
    (prefix,) = found.prefixes.values()
    assert prefix.python_version == "3.12"


@pytest.fixture
def mixed(channel: Path, project: Path, index: Index) -> Callable[..., CondaEnvironment]:
    make_wheel(index.packages, "numpy", "2.2.0")
    make_wheel(index.packages, "sklearn", "1.0", "numpy>=1.20")
    make_wheel(index.packages, "newer", "1.0", "numpy>=2")
    conda = CondaPackages(("python=3.12", "numpy"), (str(channel),))
    return lambda: conda_environment(conda, [AMD64], project=project)


def test_pip_packages_are_resolved_for_the_environment_and_leave_its_own_alone(
    mixed, index: Index, project: Path
) -> None:
    environment = mixed()
    asked = environment.beside(Requirements(("sklearn",), "env.yml"))
    assert asked.provided == ("numpy==1.26.4",)
    (target,) = environment.targets
    assert target.python_version == "3.12"
    found = resolve(asked, environment.targets, project=project, index=index.settings())
    assert [wheel.name for wheel in wheels(found, target)] == ["sklearn"]
    assert "numpy" not in found.requirements_txt
    assert 'provided = ["numpy==1.26.4"]' in found.lock.text
    again = resolve(mixed().beside(asked), environment.targets, project=project, index=index.settings())
    assert not again.lock.is_new


def test_pip_package_that_does_not_go_with_the_environment_is_told(
    mixed, index: Index, project: Path
) -> None:
    environment = mixed()
    asked = environment.beside(Requirements(("newer",), "env.yml"))
    with pytest.raises(UnsatisfiableRequirements, match=r"numpy==1.26.4"):
        resolve(asked, environment.targets, project=project, index=index.settings())


class _Private(http.server.SimpleHTTPRequestHandler):
    """A channel that wants a login."""

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(b"me:s3cret").decode()
        if self.headers.get("Authorization") != wanted:
            self.send_error(401)
            return
        super().do_GET()

    do_HEAD = do_GET  # noqa: N815 - the base class finds it by its name

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def private_channel(channel: Path) -> Iterator[str]:
    handler = functools.partial(_Private, directory=str(channel))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_private_channel_takes_the_login_of_rattlers_store(
    locked, private_channel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "credentials.json"
    login = {"BasicHTTP": {"username": "me", "password": "s3cret"}}
    store.write_text(json.dumps({"127.0.0.1": login}))
    monkeypatch.setenv("RATTLER_AUTH_FILE", str(store))
    lock = locked("python=3.11", "tool", at=private_channel)
    assert "s3cret" not in lock.path.read_text()
    tree = install(lock, AMD64).path
    record = json.loads((tree / "conda-meta/tool-1.1-py_0.json").read_bytes())
    assert record["url"] == f"{private_channel}/noarch/tool-1.1-py_0.conda"


def test_private_channel_without_a_login_is_told(locked, private_channel: str) -> None:
    with pytest.raises(ChannelUnreachable, match="401") as caught:
        locked("python=3.11", at=private_channel)
    assert "netrc" in (caught.value.hint or "")


def test_private_channel_takes_the_login_of_netrc(locked, private_channel: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    host = private_channel.removeprefix("http://").partition(":")[0]
    (home / ".netrc").write_text(f"machine {host} login me password s3cret\n")
    code = (
        "import sys; from pathlib import Path; from fnpack.dependencies.conda.lock import lock_conda; "
        "from fnpack.dependencies.target import Target; from fnpack.spec import CondaPackages; "
        "lock = lock_conda(CondaPackages(('python=3.11',), (sys.argv[1],)), [Target('linux/amd64', '3.11')], "
        "project=Path(sys.argv[2])); print(len(lock.packages))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, private_channel, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_hot_path_does_not_import_rattler(locked, channel: Path, project: Path) -> None:
    install(locked("python=3.11", "tool"), AMD64)
    code = (
        "import sys; from pathlib import Path; from fnpack.dependencies.conda.lock import lock_conda; "
        "from fnpack.dependencies.conda.prefix import install; from fnpack.dependencies.target import Target; "
        "from fnpack.spec import CondaPackages; target = Target('linux/amd64', '3.11'); "
        "conda = CondaPackages(('python=3.11', 'tool'), (sys.argv[1],)); "
        "lock = lock_conda(conda, [target], project=Path(sys.argv[2])); "
        "install(lock, target); print('rattler' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(channel), str(project)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_broken_package_is_told(channel: Path, project: Path, tmp_path: Path) -> None:
    from fnpack.dependencies.conda.errors import CondaInstallFailed

    copy = tmp_path / "copy"
    shutil.copytree(channel, copy)
    lock = lock_conda(CondaPackages(("python=3.11", "tool"), (str(copy),)), [AMD64], project=project)
    (copy / "noarch/tool-1.1-py_0.conda").write_bytes(b"spoilt")
    with pytest.raises(CondaInstallFailed, match="the conda environment cannot be laid out: .*tool"):
        install(lock, AMD64)
