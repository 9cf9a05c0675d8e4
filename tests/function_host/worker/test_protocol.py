import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_host.worker.protocol import Decoder, Kind, ProtocolError, encode

frames = st.lists(
    st.tuples(
        st.sampled_from(Kind),
        st.integers(0, 2**64 - 1),
        st.dictionaries(st.text(), st.integers() | st.text()),
        st.binary(max_size=200),
    ),
    max_size=6,
)


@given(frames, st.data())
def test_frames_survive_any_cutting_of_the_stream(sent, data):
    stream = b"".join(b"".join(encode(*frame)) for frame in sent)
    decoder, received = Decoder(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        received += decoder.feed(stream[:size])
        stream = stream[size:]
    assert [(f.kind, f.id, f.facts, f.payload) for f in received] == [
        (kind, number, json.loads(json.dumps(facts)), payload) for kind, number, facts, payload in sent
    ]


@given(st.binary(max_size=500))
def test_garbage_is_refused_or_waits_for_more(garbage):
    decoder = Decoder()
    with contextlib.suppress(ProtocolError):  # of all exceptions, only this one
        list(decoder.feed(garbage))


def test_absurd_size_is_refused_at_once():
    with pytest.raises(ProtocolError, match="announces"):
        list(Decoder().feed(b"\x01" + b"\x00" * 8 + b"\xff" * 12))


def test_large_payload_is_kept_once_while_its_frame_is_handled():
    size, chunk = 32 << 20, 1 << 18
    small = b"".join(encode(Kind.INVOKE, 2, {"a": 1}, b"next"))
    stream = b"".join(encode(Kind.INVOKE, 1, {}, bytes(size))) + small
    decoder = Decoder()
    tracemalloc.start()
    try:
        handled = [
            (frame.id, len(frame.payload), tracemalloc.get_traced_memory()[0])
            for start in range(0, len(stream), chunk)
            for frame in decoder.feed(stream[start : start + chunk])
        ]
    finally:
        tracemalloc.stop()
    assert [one[:2] for one in handled] == [(1, size), (2, 4)]
    assert handled[0][2] < 1.2 * size
