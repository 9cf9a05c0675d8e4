"""Long labels are taken apart and put together again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fnpack.provenance.long_labels import MOST_BYTES, in_pieces, whole


@given(st.integers(0, 30_000))
def test_text_of_any_length_comes_back(length: int) -> None:
    text = ("0123456789" * (length // 10 + 1))[:length]
    labels = in_pieces("io.fnpack.layers", text)
    assert all(len(name) + len(piece) <= MOST_BYTES for name, piece in labels.items())
    assert len(labels) == max(1, -(-length // (MOST_BYTES - 20)))
    assert whole({"io.fnpack.layers.x": "y", **labels}, "io.fnpack.layers") == text


def test_short_text_is_one_label_and_a_missing_one_is_empty() -> None:
    assert in_pieces("a", "text") == {"a": "text"}
    assert whole({}, "a") == whole({"a.2": "b"}, "a") == whole({"a": 5}, "a") == ""
