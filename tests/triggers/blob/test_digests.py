"""The compact set of digests against Python's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fnpack_triggers.blob.digests import DigestSet, blob_digest

DIGEST = st.binary(min_size=16, max_size=16).filter(any) | st.integers(1, 40).map(
    lambda n: bytes(15) + bytes([n])
)


@given(st.lists(DIGEST, max_size=200), st.lists(DIGEST, max_size=20))
def test_it_holds_what_was_added_and_nothing_else(added: list[bytes], others: list[bytes]) -> None:
    digests, expected = DigestSet(), set(added)
    for digest in added:
        digests.add(digest)
    assert len(digests) == len(expected)
    assert set(digests) == expected
    assert all((other in digests) == (other in expected) for other in others)


def test_a_digest_tells_versions_and_names_apart() -> None:
    digests = {
        blob_digest("c", "n", "1"),
        blob_digest("c", "n", "2"),
        blob_digest("c", "n\0", "1"),
        blob_digest("cn", "", "1"),
    }
    assert len(digests) == 4
