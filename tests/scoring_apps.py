"""Apps of entry scripts with what stands beside them, and hosts that run one for all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from host_process import HostProcess, launch

from fnpack.app.directory import write_app
from fnpack.spec import AppSpec, Environment, HttpTrigger, ModelSource

HIDE = """
import importlib.machinery, sys
class Hidden(importlib.machinery.PathFinder):  # as in an image that does not hold these packages
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {names} else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Hidden
"""
STRICT = {"FNPACK_SDK_V1_STRICT": "1"}


@pytest.fixture(scope="module")
def scoring_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., HostProcess]]:
    """`scoring_host(script, strict=..., settings=..., files=...)`: a running host, the same one for the same arguments.

    `files` stand beside the script, in its source directory; `models` are paths; `without` names packages that are
    hidden from the script; `auth_level` other than anonymous has keys enforced.
    """
    running: dict[object, HostProcess] = {}

    def start(
        script: str,
        *,
        strict: bool = False,
        settings: Mapping[str, str] | None = None,
        files: Mapping[str, str | bytes] | None = None,
        models: Sequence[Path] = (),
        without: Sequence[str] = (),
        auth_level: str = "anonymous",
        arguments: Sequence[str] = (),
    ) -> HostProcess:
        given = {**(STRICT if strict else {}), **(settings or {})}
        key = (
            script,
            tuple(sorted(given.items())),
            tuple(files or ()),
            tuple(models),
            tuple(without),
            auth_level,
        )
        if key in running:
            return running[key]
        folder = tmp_path_factory.mktemp("scoring")
        app = write_scoring_app(folder, script, files or {}, models, without, auth_level)
        host = launch(app, folder / "host.log", *arguments, settings=given)
        running[key] = host
        host.wait_ready()
        return host

    yield start
    for host in running.values():
        host.process.kill()
        host.process.wait()


def write_scoring_app(
    folder: Path,
    script: str,
    files: Mapping[str, str | bytes],
    models: Sequence[Path],
    without: Sequence[str] = (),
    auth_level: str = "anonymous",
) -> Path:
    """The app directory of a script, as `fnpack build --app-only` writes it."""
    source = folder / "source"
    source.mkdir()
    (source / "score.py").write_text(script, "utf-8")
    for name, content in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    sources = [ModelSource(path.stem, path) for path in models]
    root = source if files else None
    spec = AppSpec(source / "score.py", root, tuple(sources), (HttpTrigger(auth_level),), Environment())
    app = write_app(spec, folder / "app", lock_text="").path
    if without:
        script_file = app / ("source/score.py" if files else "score.py")
        script_file.write_text(HIDE.format(names=tuple(without)) + script_file.read_text("utf-8"), "utf-8")
    return app
