import json

from hypothesis import given
from hypothesis import strategies as st

from fnpack_host.worker.values import Value, pack, rest_of, unpack

values = st.lists(
    st.builds(Value, st.text(), st.sampled_from(["string", "bytes", "json", "none"]), st.binary(max_size=50)),
    max_size=5,
)


@given(values, st.binary(max_size=50))
def test_values_and_what_stands_behind_them_survive_a_frame(sent, rest):
    facts, payload = pack(sent, rest)
    facts = json.loads(json.dumps(facts))
    assert list(unpack(facts, bytes(payload))) == sent
    assert rest_of(facts, bytes(payload)) == rest


def test_a_single_value_is_not_copied():
    body = b"x" * 1000
    facts, payload = pack([Value("a", "none"), Value("b", "bytes", body)])
    assert payload is body
    assert next(value for value in unpack(facts, body) if value.name == "b").data is body
