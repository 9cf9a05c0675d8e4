"""What the demo does where no Docker Engine answers; with one, the main jobs' tests do the same steps."""

from __future__ import annotations

import contextlib
import json
import tarfile
import time
from pathlib import Path

import pytest

import base_image
import demo
from fnpack.oci.bases import LayoutBase
from services import UnavailableError


@pytest.fixture
def tiny_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system of one file in the place of Debian."""

    def make(folder: Path, architecture: str | None) -> Path:
        (folder / "os-release").write_text("ID=tiny\n")
        with tarfile.open(folder / "root.tar", "w") as archive:
            archive.add(folder / "os-release", "etc/os-release")
        return folder / "root.tar"

    monkeypatch.setattr(base_image, "make_archive", make)
    monkeypatch.setattr(base_image, "can_make", lambda: True)
    monkeypatch.setattr(demo, "has_image", lambda _: False)


def test_base_is_made_as_a_layout(tiny_system: None) -> None:
    with contextlib.ExitStack() as stack:
        reference, said = demo.find_base_without_engine(stack, "python:3.12-slim")
        assert reference is not None
        assert (
            said == "no Docker Engine: an OCI layout; python:3.12-slim cannot be reached, so on a Debian base"
        )
        base = LayoutBase(Path(reference.removeprefix("oci-layout:")), "")
        (layer,) = base.layers()
        with layer.open() as stream, tarfile.open(fileobj=stream) as archive:
            assert archive.getnames() == ["etc/os-release"]
        assert json.loads(base.config().data)["config"]["Cmd"] == ["python3"]
    assert not Path(reference.removeprefix("oci-layout:")).exists()


def test_a_base_that_a_registry_has_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "has_image", lambda _: True)
    with contextlib.ExitStack() as stack:
        assert demo.find_base_without_engine(stack, "python:3.12-slim")[0] == "python:3.12-slim"


def test_without_any_base_the_app_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "has_image", lambda _: False)
    monkeypatch.setattr(base_image, "can_make", lambda: False)
    with contextlib.ExitStack() as stack:
        reference, said = demo.find_base_without_engine(stack, "python:3.12-slim")
    assert (reference, said) == (None, "no base image: making one needs root and mmdebstrap")


def test_a_registry_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PULL_PATIENCE_S", 0.05)

    def slow() -> bool:
        time.sleep(0.5)
        return True

    assert demo.in_time(slow) is False
    assert demo.in_time(lambda: True) is True


def test_what_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_image, "can_make", lambda: False)
    with pytest.raises(UnavailableError, match="needs root and mmdebstrap"):
        base_image.make_layout(tmp_path)
