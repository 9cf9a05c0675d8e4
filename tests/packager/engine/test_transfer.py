from __future__ import annotations

import pytest

from fnpack.engine.base_image import _fits, _unavailable
from fnpack.engine.transfer import Line, _push_failure, _report, split_reference
from fnpack.progress import ProgressEvent, Tally


@pytest.mark.parametrize(
    ("answer", "had_login", "hint"),
    [
        ("no basic auth credentials", False, "docker login registry.test:5000"),
        ("denied: requested access to the resource is denied", True, "may not push there"),
        ("http: server gave HTTP response to HTTPS client", False, "insecure-registries"),
        ("dial tcp 10.0.0.1:5000: connect: connection refused", False, "Nothing answers"),
        ("An image does not exist locally with the tag: x", False, "Build it first"),
        ("teapot", False, "answered as quoted"),
    ],
)
def test_a_refused_push_quotes_the_answer_and_says_what_to_do(
    answer: str, had_login: bool, hint: str
) -> None:
    error = _push_failure("registry.test:5000/app:1", answer, had_login)
    assert error.code == "FN414"
    assert answer in str(error)
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ("pull access denied for me/base, repository does not exist", "docker login docker.io"),
        ("manifest unknown", "name and tag"),
        ("no matching manifest for linux/s390x in the manifest list entries", "platform"),
        ("dial tcp: lookup registry: no such host", "docker load"),
    ],
)
def test_a_base_image_out_of_reach_quotes_the_answer(answer: str, hint: str) -> None:
    error = _unavailable("me/base:1", None, answer)
    assert error.code == "FN411"
    assert answer in str(error)
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("have", "want", "fits"),
    [
        ("linux/amd64", None, True),
        ("linux/amd64", "linux/amd64", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/amd64", "linux/arm64", False),
    ],
)
def test_a_local_image_serves_its_own_platform(have: str, want: str | None, fits: bool) -> None:
    assert _fits(have, want) is fits


def test_a_port_is_not_a_tag() -> None:
    assert split_reference("127.0.0.1:5000/app") == ("127.0.0.1:5000/app", None)
    assert split_reference("127.0.0.1:5000/app:1") == ("127.0.0.1:5000/app", "1")
    assert split_reference("a/b@sha256:0") == ("a/b", "sha256:0")


def test_layers_of_a_push_end_with_their_size_and_in_the_words_of_the_registry_client() -> None:
    events: list[ProgressEvent] = []
    tally, sizes = Tally(events.append), dict[str, int]()
    lines: list[Line] = [
        {"id": "a", "status": "Preparing"},
        {"id": "a", "status": "Pushing", "progressDetail": {"current": 10, "total": 500}},
        {"id": "a", "status": "Pushed"},
        {"id": "b", "status": "Layer already exists"},
        {"id": "c", "status": "Mounted from library/python"},
        {"status": "latest: digest: sha256:0 size: 1"},
    ]
    for line in lines:
        _report("push app:1", line, tally, sizes)
    ended = [(one.step, one.status, one.detail, one.total_bytes) for one in events if one.status != "running"]
    assert ended == [
        ("push app:1 a", "done", "pushed", 500),
        ("push app:1 b", "cached", "present", None),
        ("push app:1 c", "cached", "mounted", None),
    ]
    assert tally.sent_bytes == 500
