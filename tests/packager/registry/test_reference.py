from __future__ import annotations

import pytest

from fnpack.registry import Reference
from fnpack.registry.errors import ReferenceInvalid

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "whole", "host"),
    [
        ("python", "docker.io/library/python:latest", "registry-1.docker.io"),
        ("python:3.12-slim", "docker.io/library/python:3.12-slim", "registry-1.docker.io"),
        ("me/app", "docker.io/me/app:latest", "registry-1.docker.io"),
        ("index.docker.io/me/app:1", "docker.io/me/app:1", "registry-1.docker.io"),
        ("localhost/app", "localhost/app:latest", "localhost"),
        ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000"),
        ("[::1]:5000/x:2", "[::1]:5000/x:2", "[::1]:5000"),
        ("Registry.Test/a/b/c", "registry.test/a/b/c:latest", "registry.test"),
        (f"registry.test/a@{DIGEST}", f"registry.test/a@{DIGEST}", "registry.test"),
        (f"registry.test:443/a:1@{DIGEST}", f"registry.test:443/a:1@{DIGEST}", "registry.test:443"),
    ],
)
def test_a_reference_is_completed_as_docker_does(text: str, whole: str, host: str) -> None:
    found = Reference.parse(text)
    assert str(found) == whole
    assert found.host == host
    assert Reference.parse(whole) == found


@pytest.mark.parametrize(
    "text", ["", "Upper/Case", "https://registry.test/a", "a b", "registry.test/a@sha256:12", "a" * 300 + "!"]
)
def test_what_is_no_reference_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        Reference.parse(text)
    assert caught.value.code == "FN460"
    assert "registry/name:tag" in (caught.value.hint or "")


def test_a_login_in_the_text_is_not_repeated() -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        Reference.parse("https://robot:correct-horse@registry.test/a")
    assert "correct-horse" not in str(caught.value)


def test_a_digest_is_what_counts() -> None:
    found = Reference.parse("registry.test/a:1").at(DIGEST)
    assert (found.identifier, found.tag) == (DIGEST, "1")
    assert found.tagged("2").identifier == "2"
