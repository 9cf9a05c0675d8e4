"""What is begun while a base image is looked through: done once where the guess was right, and no trace where not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.plain_base import OWN_PYTHON, write_base

from fnpack.config.build import BuildSettings
from fnpack.daemonless import Destination, build_image
from fnpack.daemonless.ahead import Ahead
from fnpack.daemonless.earlier import Earlier
from fnpack.dependencies import resolver
from fnpack.dependencies.errors import UnsatisfiableRequirements
from fnpack.image import host_lock
from fnpack.oci.layer_cache import LayerCache
from fnpack.spec import AppSpec, Environment, HttpTrigger
from package_index import Index, make_wheel, sha256

OTHER_PYTHON = "3.12" if OWN_PYTHON != "3.12" else "3.11"


@pytest.fixture
def settings(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> BuildSettings:
    """An app that needs `alpha`, of an index that counts its requests; Microsoft's host, which brings its packages."""
    make_wheel(index.packages, "alpha", "1.0")
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    script = tmp_path / "project" / "score.py"
    script.parent.mkdir()
    script.write_text("def init(): pass\n\ndef run(data): return data\n")
    app = AppSpec(script, None, (), (HttpTrigger("anonymous"),), Environment(("alpha",)))
    return BuildSettings(app, host="azure-functions", platform="linux/amd64", check=False)


@pytest.fixture
def asked_uv(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Python of each question to uv, which is asked as ever."""
    asked: list[str] = []
    compile_ = resolver._compile

    def counted(request, index):
        asked.append(request.target.python_version)
        return compile_(request, index)

    monkeypatch.setattr(resolver, "_compile", counted)
    return asked


def build(settings: BuildSettings, tmp_path: Path, python: str = OWN_PYTHON) -> str:
    base = write_base(tmp_path / f"base-{python}", python=python, architecture="amd64")
    return build_image(
        settings._replace(base_image=base), Destination("oci-layout", tmp_path / f"image-{python}")
    ).python_version


def downloads(index: Index) -> list[str]:
    """The wheels that fnpack fetched; uv looks into them, too."""
    asked = zip(index.requests, index.headers, strict=True)
    return [path for path, headers in asked if path.endswith(".whl") and "fnpack/" in headers["User-Agent"]]


def test_right_guess_is_not_asked_or_fetched_again(settings, tmp_path, index, asked_uv) -> None:
    assert build(settings, tmp_path) == OWN_PYTHON
    assert asked_uv == [OWN_PYTHON]
    assert len(downloads(index)) == 1
    assert f'python = "{OWN_PYTHON}"' in (tmp_path / "project" / "pylock.toml").read_text()


def test_hosts_packages_are_locked_and_fetched_beside_the_apps(
    settings, tmp_path, index, asked_uv, monkeypatch
) -> None:
    wheel = make_wheel(index.packages, "beta", "1.0")
    monkeypatch.setattr(host_lock, "_text", lambda name: f"beta==1.0 --hash=sha256:{sha256(wheel)}\n")
    assert build(settings._replace(host="fnpack"), tmp_path) == OWN_PYTHON
    assert asked_uv == [OWN_PYTHON] * 2
    assert sorted(downloads(index)) == [f"/files/{name}-1.0-py3-none-any.whl" for name in ("alpha", "beta")]


def test_wrong_guess_leaves_no_trace_in_the_lock(settings, tmp_path, asked_uv) -> None:
    assert build(settings, tmp_path, OTHER_PYTHON) == OTHER_PYTHON
    assert sorted(asked_uv) == sorted([OWN_PYTHON, OTHER_PYTHON])
    assert f'python = "{OTHER_PYTHON}"' in (tmp_path / "project" / "pylock.toml").read_text()


def test_known_base_is_not_looked_through_and_nothing_is_guessed(
    settings, tmp_path, asked_uv, monkeypatch
) -> None:
    build(settings, tmp_path, OTHER_PYTHON)
    asked_uv.clear()
    monkeypatch.setattr(Ahead, "start", lambda self: asked_uv.append("guessed"))
    again = settings._replace(base_image=f"oci-layout:{tmp_path / f'base-{OTHER_PYTHON}'}")
    build_image(again, Destination("oci-layout", tmp_path / "again"))
    assert asked_uv == []


def test_what_cannot_be_resolved_is_told_as_ever_and_asked_once(settings, tmp_path, asked_uv) -> None:
    app = settings.app._replace(environment=Environment(("alpha>5",)))
    with pytest.raises(UnsatisfiableRequirements, match="alpha>5"):
        build(settings._replace(app=app), tmp_path)
    assert asked_uv == [OWN_PYTHON] * 2  # for every usual base ahead, and then for this one's own C library
    assert not (tmp_path / "project" / "pylock.toml").exists()


def test_unfit_base_ends_the_build_whatever_is_under_way(settings, tmp_path) -> None:
    with pytest.raises(Exception, match=f"has Python {OTHER_PYTHON}, but {OWN_PYTHON} is asked for"):
        build(settings._replace(python_version=OWN_PYTHON), tmp_path, OTHER_PYTHON)
    assert not (tmp_path / "project" / "pylock.toml").exists()


@pytest.mark.parametrize("is_known", [False, True])
def test_wheels_of_layers_that_a_registry_has_are_not_fetched(settings, tmp_path, index, is_known) -> None:
    remote = Earlier(LayerCache(tmp_path / "layers"))
    if is_known:
        (wheel,) = index.packages.iterdir()
        remote.clashes[hashlib.sha256(sha256(wheel).encode()).hexdigest()] = []
    with Ahead(settings, "linux/amd64", remote, lambda _: None) as ahead:
        ahead.start()
        ahead.wait(OWN_PYTHON)
    assert len(ahead.answers) == 1
    assert remote.used == {}, "the image tells of nothing that was only guessed"
    assert len(downloads(index)) == (0 if is_known else 1)


def test_what_nobody_waits_for_is_given_up(settings, tmp_path, index, clean_user) -> None:
    with Ahead(settings, "linux/amd64", Earlier(LayerCache(tmp_path / "layers")), lambda _: None) as ahead:
        ahead.wait(OTHER_PYTHON)
        ahead.start()
        ahead.wait(OWN_PYTHON)
    assert downloads(index) == []
