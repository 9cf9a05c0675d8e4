"""The codec: what is written reads back the same, and no bytes, however bad, do more than raise DecodeError."""

from __future__ import annotations

import contextlib
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.devbus.amqp import performatives
from fnpack.devbus.amqp.decode import decode, decode_all, skip
from fnpack.devbus.amqp.encode import encode
from fnpack.devbus.amqp.frames import Frame, FrameReader, encode_frame, encode_transfers
from fnpack.devbus.amqp.types import (
    Array,
    Byte,
    Char,
    Decimal,
    DecodeError,
    Described,
    EncodeError,
    Float,
    Int,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    Value,
)


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


ascii_text = st.text(st.characters(max_codepoint=127), max_size=300)
text = st.text(st.characters(codec="utf-8"), max_size=300)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    unsigned(8).map(UByte),
    unsigned(16).map(UShort),
    unsigned(32).map(UInt),
    unsigned(64).map(ULong),
    signed(8).map(Byte),
    signed(16).map(Short),
    signed(32).map(Int),
    signed(64),
    signed(64).map(Timestamp),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False, width=32).map(Float),
    st.characters(codec="utf-8").map(Char),
    text,
    ascii_text.map(Symbol),
    st.binary(max_size=300),
    st.sampled_from((4, 8, 16)).flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(Decimal),
    st.uuids(),
)
keys = st.one_of(ascii_text.map(Symbol), unsigned(64).map(ULong), st.uuids())
arrays = st.one_of(
    st.tuples(st.just(0x70), st.lists(unsigned(32).map(UInt), max_size=300)),
    st.tuples(st.just(0x81), st.lists(signed(64), max_size=40)),
    st.tuples(st.just(0xB3), st.lists(ascii_text.map(Symbol), max_size=20)),
    st.tuples(st.just(0xB1), st.lists(text, max_size=20)),
    st.tuples(st.just(0xB0), st.lists(st.binary(max_size=300), max_size=20)),
    st.tuples(st.just(0x98), st.lists(st.uuids(), max_size=20)),
    st.tuples(st.just(0x56), st.lists(st.booleans(), max_size=20)),
    st.tuples(st.just(0xD0), st.lists(st.lists(signed(64), max_size=5), max_size=5)),
    st.tuples(st.just(0xD1), st.lists(st.dictionaries(keys, scalars, max_size=3), max_size=5)),
).flatmap(
    lambda pair: st.one_of(st.none(), ascii_text.map(Symbol)).map(lambda d: Array(pair[0], tuple(pair[1]), d))
)
values = st.recursive(
    st.one_of(scalars, arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.dictionaries(keys, inner, max_size=6),
        st.builds(Described, st.one_of(unsigned(64).map(ULong), ascii_text.map(Symbol)), inner),
    ),
    max_leaves=12,
)


def types_of(value: object) -> object:
    """A value with its types, because UInt(1) == 1."""
    match value:
        case list():
            return [types_of(item) for item in value]
        case dict():
            return {key: (type(key), types_of(item)) for key, item in value.items()}
        case Described(descriptor, inner):
            return (types_of(descriptor), types_of(inner))
        case Array(code, items, descriptor):
            return (code, [types_of(item) for item in items], types_of(descriptor))
    return type(value), value


@given(values)
def test_values_and_their_types_survive_a_round_trip(value: Value) -> None:
    assert types_of(decode_all(encode(value))) == types_of(value)


@given(values)
def test_skipping_ends_where_decoding_ends(value: Value) -> None:
    raw = encode(value)
    assert skip(raw + b"behind", 0) == len(raw)


@given(st.binary(max_size=200))
def test_random_bytes_give_a_value_or_a_decode_error(raw: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode(raw)
    with contextlib.suppress(DecodeError):
        skip(raw, 0)


@given(values, st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_gives_a_value_or_a_decode_error(value: Value, position: int, byte: int) -> None:
    raw = bytearray(encode(value))
    raw[position % len(raw)] = byte
    with contextlib.suppress(DecodeError):
        decode(bytes(raw))


@given(values)
def test_a_value_cut_short_is_a_decode_error(value: Value) -> None:
    raw = encode(value)
    for end in {0, len(raw) // 2, len(raw) - 1}:
        with pytest.raises(DecodeError):
            decode_all(raw[:end])


@pytest.mark.parametrize(
    "raw",
    [
        b"\xf0" + struct.pack(">II", 5, 2**32 - 1) + b"\x40",  # four thousand million nulls
        b"\xd0" + struct.pack(">II", 2**32 - 1, 2**32 - 1),
        b"\xd1" + struct.pack(">II", 4, 3) + b"\x40" * 3,
        b"\xb0\xff\xff\xff\xff",
        b"\x00" * 100_000,
        b"\xc0\x03\x01" * 100,
        b"\xa1\x01\xff",  # not UTF-8
        b"\x73\xff\xff\xff\xff",  # no such character
        b"\xc1\x03\x02\x45\x40",  # a list as key
        b"\x56\x02",
        b"\x3f",
    ],
)
def test_bombs_are_refused_at_once(raw: bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(DecodeError):
        decode(raw)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("value", [UInt(2**32), UByte(-1), 2**63, Symbol("é"), object(), {1: object()}])
def test_what_does_not_fit_its_type_is_an_encode_error(value: Value) -> None:
    with pytest.raises(EncodeError):
        encode(value)


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        ("OPEN", 10),
        ("BEGIN", 8),
        ("ATTACH", 14),
        ("FLOW", 11),
        ("TRANSFER", 11),
        ("DISPOSITION", 6),
        ("DETACH", 3),
    ],
)
def test_every_field_of_a_performative_is_written(shape: str, fields: int) -> None:
    written = decode_all(encode(getattr(performatives, shape).write()))
    assert isinstance(written, Described)
    assert written.value == [None] * fields


def test_a_performative_with_a_field_of_a_wrong_type_is_refused() -> None:
    with pytest.raises(DecodeError, match="handle of transfer"):
        performatives.TRANSFER.read(["0"])
    with pytest.raises(DecodeError, match="transfer has no handle"):
        performatives.TRANSFER.read([])


@given(st.binary(max_size=3000), st.integers(512, 1500), st.lists(st.integers(1, 700), max_size=8))
def test_a_message_of_many_frames_arrives_whole_however_it_is_cut(
    message: bytes, max_frame_bytes: int, cuts: list[int]
) -> None:
    frames = encode_transfers(3, 2, 7, b"t" * 16, message, max_frame_bytes=max_frame_bytes, settled=False)
    assert all(len(frame) <= max_frame_bytes for frame in frames)
    stream = b"AMQP\0\1\0\0" + b"".join(frames)
    reader = FrameReader(max_frame_bytes)
    found: list[bytes | Frame] = []
    for size in [*cuts, len(stream)]:
        reader.feed(stream[:size])
        stream = stream[size:]
        found += reader.items()
    header, *rest = found
    transfers = [frame for frame in rest if isinstance(frame, Frame)]
    assert len(transfers) == len(frames)
    assert header == b"AMQP\0\1\0\0"
    assert b"".join(frame.payload for frame in transfers) == message
    read = [performatives.TRANSFER.read(frame.fields) for frame in transfers]
    assert [fields[:3] for fields in read] == [[2, 7, b"t" * 16]] * len(read)
    assert [fields[5] for fields in read] == [True] * (len(read) - 1) + [False]


@given(st.binary(max_size=400))
def test_random_bytes_in_a_stream_give_frames_or_a_decode_error(raw: bytes) -> None:
    reader = FrameReader(512)
    reader.feed(raw)
    with contextlib.suppress(DecodeError):
        list(reader.items())


def test_a_frame_that_is_larger_than_agreed_is_refused_before_it_has_arrived() -> None:
    reader = FrameReader(512)
    reader.feed(b"AMQP\0\1\0\0" + encode_frame(0, Described(ULong(0x10), ["x" * 600]))[:20])
    with pytest.raises(DecodeError, match="size"):
        list(reader.items())
