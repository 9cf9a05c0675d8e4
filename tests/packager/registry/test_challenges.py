from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.registry.challenges import Challenge, challenge_in, covers, merged, scope


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        (['Basic realm="x"'], Challenge("basic")),
        (["basic"], Challenge("basic")),
        (
            [
                'Bearer realm="https://a.test/t?x=1,2",service="s",scope="repository:a:pull,push registry:catalog:*"'
            ],
            Challenge(
                "bearer",
                "https://a.test/t?x=1,2",
                "s",
                frozenset({"repository:a:pull,push", "registry:catalog:*"}),
            ),
        ),
        (['Bearer realm=https://a.test/t , error="invalid_token"'], Challenge("bearer", "https://a.test/t")),
        (['Basic realm="b", Bearer realm="https://a.test/t"'], Challenge("bearer", "https://a.test/t")),
        (['Basic realm="b"', 'Bearer realm="https://a\\.test/t"'], Challenge("bearer", "https://a.test/t")),
        (["Negotiate", "Bearer service=x"], None),
        ([], None),
    ],
)
def test_the_answerable_challenge_is_found(headers: list[str], challenge: Challenge | None) -> None:
    assert challenge_in(headers) == challenge


@given(st.lists(st.text(max_size=80), max_size=3))
def test_any_header_is_read_without_a_failure(headers: list[str]) -> None:
    challenge_in(headers)


def test_scopes_are_merged_by_resource() -> None:
    both = merged([*scope("a/b", "push", "pull"), *scope("a/b", "pull"), *scope("base", "pull")])
    assert both == {"repository:a/b:pull,push", "repository:base:pull"}
    assert covers(both, scope("a/b", "pull"))
    assert not covers(scope("a/b", "pull"), both)
    assert not covers(scope("a/b", "pull"), scope("a", "pull"))
