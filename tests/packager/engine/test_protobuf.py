from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.engine.protobuf import ProtobufError, encode, fields, text_field

NUMBERS = st.integers(1, (1 << 29) - 1)
VALUES = st.integers(0, (1 << 64) - 1) | st.binary(max_size=300)


@given(st.lists(st.tuples(NUMBERS, VALUES)))
def test_what_is_encoded_is_read_back(pairs: list[tuple[int, int | bytes]]) -> None:
    assert list(fields(encode(*pairs))) == pairs


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = list(fields(data))
    except ProtobufError:
        return
    assert len(found) <= len(data) / 2


@given(st.lists(st.tuples(NUMBERS, VALUES), min_size=1), st.data())
def test_a_cut_message_is_refused_or_gives_only_its_first_fields(
    pairs: list[tuple[int, int | bytes]], data: st.DataObject
) -> None:
    whole = encode(*pairs)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    found: list[tuple[int, int | bytes]] = []
    try:
        found.extend(fields(cut))
    except ProtobufError:
        return
    assert found == pairs[: len(found)]
    assert len(found) < len(pairs)


def test_fixed_width_fields_are_little_endian_numbers() -> None:
    assert list(fields(b"\x09" + b"\x02" + bytes(7) + b"\x15" + b"\x03" + bytes(3))) == [(1, 2), (2, 3)]


def test_groups_are_refused() -> None:
    with pytest.raises(ProtobufError, match="wire type 3"):
        list(fields(b"\x0b\x0c"))


def test_the_last_value_of_a_text_field_counts() -> None:
    assert text_field(encode((1, "first"), (2, "other"), (1, "läst")), 1) == "läst"
    assert text_field(b"", 1) == ""
