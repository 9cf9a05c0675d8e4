"""The stand-in for `inference_schema` beside the library itself: same values, same refusals, same schemas."""

from __future__ import annotations

import datetime as dt
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from inference_schema import schema_decorators as real
    from inference_schema import schema_util as real_util
    from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType as RealNumpy
    from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType as RealPandas
    from inference_schema.parameter_types.standard_py_parameter_type import (
        StandardPythonParameterType as RealPlain,
    )

from fnpack_host.scoring import schema
from fnpack_host.scoring.schema_samples import mixes_types, schema_of
from fnpack_host.scoring.schema_types import (
    AbstractParameterType,
    NumpyParameterType,
    PandasParameterType,
    SparkParameterType,
    StandardPythonParameterType,
)

RECORDS = np.array([(1, 0.5, "ab")], dtype=[("n", "int32"), ("x", "float64"), ("s", "U5")])
FRAME = pd.DataFrame({"n": [1, 2], "x": [0.5, 1.5], "s": ["a", "b"]})
TIMES = pd.DataFrame({"when": pd.to_datetime(["2020-01-01"]), "took": pd.to_timedelta(["1 days"]), "n": [1]})


def outcome(kind, value):
    """What the type makes of a value: the value, or that it refuses."""
    try:
        return "ok", kind.deserialize_input(json.loads(json.dumps(value)))
    except Exception as error:
        return "refused", type(error)


def same(one, other) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other)
    if isinstance(one, pd.DataFrame):
        return one.equals(other) and list(one.dtypes) == list(other.dtypes)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (np.array([[1.0, 2.0]]), [[1, 2], [3, 4]]),
        (np.array([[1.0, 2.0]]), [[1, 2, 3]]),
        (np.array([[1.0, 2.0]]), [1, 2]),
        (np.array([[1.0, 2.0]]), [["a", 2]]),
        (np.array([[1.0, 2.0]]), {"a": 1}),
        (np.array([[1.0, 2.0]]), [[1], [2, 3]]),
        (np.array([1], dtype="int8"), [1, 2, 3]),
        (np.array([1], dtype="int8"), [300]),
        (np.array([True]), [False, True]),
        (np.array(["abc"]), ["xyz"]),
        (np.array([[[1.0]]]), [[[5]]]),
        (np.array([np.datetime64("2020-01-01")]), ["2021-02-03"]),
        (np.array([np.timedelta64(1, "D")]), ["3 days"]),
        (np.array([np.timedelta64(1, "D")]), ["3 parsecs"]),
        (RECORDS, [[1, 2.5, "x"]]),
        (RECORDS, [{"s": "x", "n": 1, "x": 2.5}]),
        (RECORDS, [{"n": 1}]),
        (np.array([{"a": 1}], dtype=object), [{"b": 2}]),
    ],
)
def test_arrays(sample, value):
    expected, got = outcome(RealNumpy(sample), value), outcome(NumpyParameterType(sample), value)
    assert expected[0] == got[0], (expected, got)
    assert expected[0] == "refused" or same(expected[1], got[1]), (expected, got)


def test_text_of_an_array_is_not_cut_to_the_length_of_the_sample():
    assert NumpyParameterType(np.array(["ab"])).deserialize_input(["abcdef"]).tolist() == ["abcdef"]


@pytest.mark.parametrize("options", [{}, {"enforce_shape": False}, {"enforce_column_type": False}], ids=str)
@pytest.mark.parametrize("value", [[[1, 2], [3, 4]], [[1, 2, 3]], [["1", "2"]]], ids=str)
def test_what_is_enforced_of_arrays(options, value):
    sample = np.array([[1.0, 2.0]])
    expected, got = (
        outcome(RealNumpy(sample, **options), value),
        outcome(NumpyParameterType(sample, **options), value),
    )
    assert expected[0] == got[0]
    assert expected[0] == "refused" or same(expected[1], got[1])


@pytest.mark.parametrize("orient", ["records", "split", "index", "columns", "values", "table"])
@pytest.mark.parametrize("options", [{}, {"enforce_shape": False}, {"enforce_column_type": False}], ids=str)
def test_frames(orient, options):
    value = json.loads(FRAME.to_json(orient=orient))
    kinds = RealPandas(FRAME, orient=orient, **options), PandasParameterType(FRAME, orient=orient, **options)
    expected, got = (outcome(kind, value) for kind in kinds)
    assert expected[0] == got[0] == "ok", (expected, got)
    assert same(expected[1], got[1])
    fewer = json.loads(FRAME[["n"]].to_json(orient=orient))
    assert outcome(kinds[0], fewer)[0] == outcome(kinds[1], fewer)[0]
    for wrong in (5, "text", [["a"]]):
        assert outcome(kinds[0], wrong)[0] == outcome(kinds[1], wrong)[0], wrong


def test_times_in_frames():
    value = [{"when": "2021-05-06T00:00:00", "took": "2 days", "n": 3}]
    expected, got = outcome(RealPandas(TIMES), value), outcome(PandasParameterType(TIMES), value)
    assert expected[0] == got[0] == "ok"
    assert same(expected[1], got[1])


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (1, 5), (1, "5"), (1, 2.5), (1.5, 2), (1.5, "2"), ("a", "b"), ("a", 1), (True, False), (True, 1),
        (b"x", "eA=="), (b"x", 5),
        (dt.datetime(2020, 1, 2), "2021-03-04T05:06:07"), (dt.datetime(2020, 1, 2), "2021-03-04 05:06:07.5+01:00"),
        (dt.datetime(2020, 1, 2), "no date"), (dt.time(1, 2), "03:04:05"), ({"a": 1}, {"b": 2}), ([1], [2, "x"]),
    ],
)  # fmt: skip
def test_plain_values(sample, value):
    def converted(decorators, kind):
        @decorators.input_schema("data", kind(sample))
        def run(data):
            return data

        try:
            return "ok", run(data=value)
        except Exception as error:
            return "refused", type(error)

    expected, got = converted(real, RealPlain), converted(schema, StandardPythonParameterType)
    assert expected[0] == got[0], (expected, got)
    assert expected[0] == "refused" or same(expected[1], got[1])


def test_dates_and_bytearrays_are_read_where_the_library_fails():
    assert StandardPythonParameterType(bytearray(b"x")).deserialize_input("eA==") == bytearray(b"x")
    assert StandardPythonParameterType(dt.date(2020, 1, 1)).deserialize_input("2021-02-03") == dt.date(
        2021, 2, 3
    )


def test_bytes_that_are_no_base64_are_refused_and_not_guessed_at():
    with pytest.raises(ValueError, match="base64"):
        StandardPythonParameterType(b"x").deserialize_input("e*A=")


# --- schemas ---


def without_sizes(value):
    """A schema without what the stand-in says beyond the library."""
    if isinstance(value, dict):
        more = ("minItems", "maxItems", "additionalProperties")
        return {k: without_sizes(one) for k, one in value.items() if k not in more}
    return [without_sizes(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "sample",
    [np.array([[1.0, 2.0]]), np.array([1], dtype="uint8"), np.array(["a"]), RECORDS,
     np.array([[1.5]], dtype="float32"), np.zeros((1, 2, 3))],
    ids=lambda sample: str(sample.dtype),
)  # fmt: skip
def test_schemas_of_arrays(sample):
    assert (
        without_sizes(NumpyParameterType(sample).input_to_swagger()) == RealNumpy(sample).input_to_swagger()
    )
    assert NumpyParameterType(sample).supported_versions() == RealNumpy(sample).supported_versions()


def test_example_of_truth_values_is_true_json():
    schema_of_truth = NumpyParameterType(np.array([[True]])).input_to_swagger()
    assert schema_of_truth["example"] == [[True]]  # the library shows the text "True"
    assert schema_of_truth["items"]["items"] == {"type": "boolean"}


@pytest.mark.parametrize("orient", ["records", "split", "index", "columns", "values", "table"])
@pytest.mark.parametrize("frame", [FRAME[["n", "x"]], TIMES, FRAME], ids=["numbers", "times", "mixed"])
def test_schemas_of_frames(frame, orient):
    mine, theirs = (
        kind(frame, orient=orient).input_to_swagger() for kind in (PandasParameterType, RealPandas)
    )
    if orient in ("split", "values", "table"):  # lists of several types: the library takes the last one's
        assert mine["example"] == theirs["example"]
        assert (mine["type"], mine["format"]) == (theirs["type"], theirs["format"])
    else:
        assert without_sizes(mine) == theirs


@pytest.mark.parametrize(
    "sample",
    [
        1,
        1.5,
        "a",
        True,
        b"x",
        dt.date(2020, 1, 2),
        [1, 2],
        {"a": 1, "b": {"c": [1.5]}},
        [],
        {"a": [{"b": 1}]},
    ],
)
def test_schemas_of_plain_values(sample):
    mine, theirs = (
        StandardPythonParameterType(sample).input_to_swagger(),
        RealPlain(sample).input_to_swagger(),
    )
    if sample == []:
        theirs["items"] = {}  # nothing is known of them
    assert mine == theirs


def test_input_schema_of_a_function_and_its_versions():
    def declare(decorators, plain, array):
        @decorators.output_schema(plain({"Results": [0.5]}))
        @decorators.input_schema("data", array(np.array([[1.0]])))
        @decorators.input_schema("mixed", plain([1, "a"]))
        def run_several(data, mixed, free=None):
            return data

        return run_several

    theirs, mine = (
        declare(real, RealPlain, RealNumpy),
        declare(schema, StandardPythonParameterType, NumpyParameterType),
    )
    assert real_util.is_schema_decorated(theirs)
    assert schema.is_schema_decorated(mine)
    expected, got = real_util.get_input_schema(theirs), schema.get_input_schema(mine)
    expected["properties"]["mixed"]["items"] = {}  # the library takes the last one's
    assert expected["example"].pop("free") == ""  # nothing is known that would be right for it
    assert without_sizes(got) == expected
    assert schema.get_output_schema(mine) == real_util.get_output_schema(theirs)
    assert schema.get_supported_versions(mine) == ["3.0", "3.1"]
    assert not schema.is_schema_decorated(lambda data: data)


SCALARS = (
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
)


def several(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)


@given(st.recursive(SCALARS, several, max_leaves=8))
def test_every_sample_of_json_fits_its_own_schema(sample):
    import jsonschema_rs

    made, example = schema_of(sample)
    assert example == sample
    jsonschema_rs.validator_for(made).validate(sample)
    assert isinstance(mixes_types(sample), bool)


# --- declarations that are wrong ---


def test_what_cannot_be_declared_says_why():
    with pytest.raises(TypeError, match="not by a ndarray"):
        schema.input_schema("data", np.array([1]))
    with pytest.raises(ValueError, match="`x`, which is no parameter of `run`"):

        @schema.input_schema("x", StandardPythonParameterType(1))
        def run(data):
            return data

    with pytest.raises(ValueError, match="two output schemas"):

        @schema.output_schema(StandardPythonParameterType(1))
        @schema.output_schema(StandardPythonParameterType(1))
        def run_twice(data):
            return data

    with pytest.raises(TypeError, match="numpy array, not a list"):
        NumpyParameterType([1])
    with pytest.raises(TypeError, match="DataFrame, not a dict"):
        PandasParameterType({})
    with pytest.raises(ValueError, match="orient is 'rows'"):
        PandasParameterType(FRAME, orient="rows")
    with pytest.raises(ValueError, match="cannot be None"):
        StandardPythonParameterType(None)
    with pytest.raises(NotImplementedError, match="inference-schema\\[pyspark-support\\]"):
        SparkParameterType(None)


def test_own_parameter_type_is_asked():
    class Upper(AbstractParameterType):
        def deserialize_input(self, input_data):
            if not isinstance(input_data, str):
                raise TypeError("no text")
            return input_data.upper()

        def input_to_swagger(self):
            return {"type": "string", "example": "A"}

    @schema.input_schema("data", Upper(b""))
    async def run(data):
        return data

    coroutine = run("a")
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    assert done.value.value == "A"
    assert schema.get_input_schema(run)["example"] == {"data": "A"}
