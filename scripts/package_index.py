"""A package index on loopback, with Basic authentication and faults, and packages that are made for a test."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fnpack.dependencies.index import PackageIndex

# A build backend in the package itself, so that building needs no index.
BACKEND = """
import zipfile

def _write(folder, name, version, tag, files):
    file = f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(f"{folder}/{file}", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n" + REQUIRES)
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: {tag}\\n")
        archive.writestr(f"{info}/RECORD", "")
    return file

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return _write(folder, NAME, VERSION, TAG, {f"{NAME}/__init__.py": open(f"{NAME}/__init__.py").read()})
"""


def make_wheel(
    folder: Path, name: str, version: str, *requires: str, tag: str = "py3-none-any", text: str = ""
) -> Path:
    """A wheel with one module."""
    folder.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    path = folder / f"{module}-{version}-{tag}.whl"
    info = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{module}/__init__.py", text or f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {tag}\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def make_source(
    folder: Path, name: str, version: str, *requires: str, tag: str = "py3-none-any", broken: str = ""
) -> Path:
    """A source folder that builds without an index; `broken` is Python that its build runs first."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "__init__.py").write_text(f"version = {version!r}\n")
    lines = "".join(f'"{line}", ' for line in requires)
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = [{lines}]\n'
    )
    constants = {"NAME": name, "VERSION": version, "TAG": tag}
    constants["REQUIRES"] = "".join(f"Requires-Dist: {line}\n" for line in requires)
    head = "".join(f"{key} = {value!r}\n" for key, value in constants.items())
    (folder / "backend.py").write_text(broken + head + BACKEND)
    return folder


def make_sdist(folder: Path, name: str, version: str, *requires: str, **options: str) -> Path:
    """A source archive of `make_source`."""
    folder.mkdir(parents=True, exist_ok=True)
    source = make_source(folder / "tree" / f"{name}-{version}", name, version, *requires, **options)
    (source / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(source, f"{name}-{version}")
    return path


def sha256(path: Path) -> str:
    """The hash of a file, as 64 hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Index:
    """A package index: `packages` is its folder, `requests` the paths it was asked for."""

    packages: Path
    address: str = ""
    scheme: str = "http"
    login: str | None = None  # "user:password"
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: list[Callable[[http.server.BaseHTTPRequestHandler], bool]] = field(default_factory=list)
    as_json: bool = True
    files_at: str = ""  # where links point to, if not here

    @property
    def url(self) -> str:
        """The index's address, without a login."""
        return f"{self.scheme}://{self.address}/simple"

    def with_login(self, login: str) -> str:
        """The index's address with `user:password`."""
        return f"http://{login}@{self.address}/simple"

    def settings(self, **values: object) -> PackageIndex:
        """A user's settings that name this index."""
        return PackageIndex(**{"index_url": self.url, **values})  # type: ignore[arg-type]

    def files(self, project: str) -> list[Path]:
        """The archives of a project."""
        found = sorted(self.packages.glob("*.whl")) + sorted(self.packages.glob("*.tar.gz"))
        return [path for path in found if project_of(path) == project]


def project_of(path: Path) -> str:
    """The normalised project that an archive belongs to."""
    head = path.name.split("-")[0] if path.suffix == ".whl" else path.name.rsplit("-", 1)[0]
    return head.replace("_", "-").lower()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    index: Index

    def do_GET(self) -> None:
        """Answer."""
        index = self.index
        index.requests.append(self.path)
        index.headers.append(dict(self.headers.items()))
        for fault in list(index.faults):
            if fault(self):
                return
        given = self.headers.get("Authorization", "")
        if index.login and given != "Basic " + base64.b64encode(index.login.encode()).decode():
            self.answer(b"", status=401, headers={"WWW-Authenticate": 'Basic realm="packages"'})
            return
        kind, _, name = self.path.strip("/").partition("/")
        if kind == "simple" and index.files(name.strip("/")):
            self.project(index.files(name.strip("/")))
        elif kind == "files" and (index.packages / name).is_file():
            self.file(index.packages / name)
        else:
            self.answer(b"", status=404)

    def project(self, files: list[Path]) -> None:
        """Answer with the links of a project."""
        index = self.index
        links = [(path, f"{index.files_at or ''}/files/{path.name}") for path in files]
        if index.as_json:
            entries = [
                {"filename": path.name, "url": link, "hashes": {"sha256": sha256(path)}}
                for path, link in links
            ]
            body = {"meta": {"api-version": "1.0"}, "name": project_of(files[0]), "files": entries}
            kind = "application/vnd.pypi.simple.v1+json"
            self.answer(json.dumps(body).encode(), headers={"Content-Type": kind})
        else:
            anchors = "".join(
                f'<a href="{link}#sha256={sha256(path)}">{path.name}</a>' for path, link in links
            )
            self.answer(anchors.encode(), headers={"Content-Type": "text/html"})

    def file(self, path: Path) -> None:
        """Answer with a file or a part of it."""
        data = path.read_bytes()
        given = self.headers.get("Range")
        if not given:
            self.answer(data)
            return
        start, _, end = given.removeprefix("bytes=").partition("-")
        first = int(start) if start else max(len(data) - int(end), 0)
        last = min(int(end), len(data) - 1) if start and end else len(data) - 1
        headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        self.answer(data[first : last + 1], status=206, headers=headers)

    def answer(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the base class finds it by its name

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(index: Index, tls: ssl.SSLContext | None = None) -> Iterator[Index]:
    """Serve `index` on a free port of loopback."""
    handler = type("Handler", (_Handler,), {"index": index})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    index.address = f"127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
