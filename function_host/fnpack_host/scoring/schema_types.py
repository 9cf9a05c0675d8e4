"""Parameter types of `inference_schema`, for where that library is not installed: sample, conversion, schema.

numpy and pandas are imported when a type that needs them is made: the script has imported them for its sample.
"""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import io
import json
from typing import Any, cast

from .schema_samples import Schema, mixes_types, schema_of

VERSIONS = ("2.0", "3.0", "3.1")
_ORIENTS = ("split", "records", "index", "columns", "values", "table")
_UNITS = {
    "years": "Y", "months": "M", "weeks": "W", "days": "D", "hours": "h", "minutes": "m", "seconds": "s",
    "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns", "picoseconds": "ps", "femtoseconds": "fs",
    "attoseconds": "as",
}  # fmt: skip


class AbstractParameterType:
    """A type that is declared by a sample. A script may derive its own."""

    def __init__(self, sample_input: object) -> None:
        self.sample_input: Any = sample_input
        self.sample_data_type: type = type(sample_input)

    def supported_versions(self) -> list[str]:
        """The versions of OpenAPI that can hold the schema."""
        mixed = mixes_types(self.input_to_swagger()["example"])
        return [version for version in VERSIONS if not (mixed and version == "2.0")]

    def deserialize_input(self, input_data: object) -> object:
        """What JSON gave, as the type wants it. Raises ValueError or TypeError."""
        raise NotImplementedError

    def input_to_swagger(self) -> Schema:
        """The schema, with an `example`."""
        raise NotImplementedError


class StandardPythonParameterType(AbstractParameterType):
    """Plain Python: numbers, text, dates, bytes as base64, lists and dicts, which may hold other parameter types."""

    def __init__(self, sample_input: object) -> None:
        if sample_input is None:
            raise ValueError("a sample cannot be None")
        super().__init__(sample_input)

    def deserialize_input(self, input_data: object) -> object:
        """The value, where it is of the sample's type or can be read as it."""
        value, wanted = input_data, self.sample_data_type
        if isinstance(value, str):
            value = _read_text(value, wanted)
        if isinstance(value, wanted) or (wanted is float and type(value) is int):
            return value
        raise ValueError(f"expected {wanted.__name__}, got {type(input_data).__name__}")

    def input_to_swagger(self) -> Schema:
        """The schema of the sample."""
        schema, example = schema_of(self.sample_input)
        json.dumps(example)  # TypeError for a sample that no document can show
        return {**schema, "example": example}


class NumpyParameterType(AbstractParameterType):
    """An array like the sample: of its dtype, and of its size in every dimension but the first."""

    def __init__(
        self, sample_input: object, enforce_column_type: bool = True, enforce_shape: bool = True
    ) -> None:
        if not isinstance(sample_input, _numpy().ndarray):
            raise TypeError(f"the sample must be a numpy array, not a {type(sample_input).__name__}")
        super().__init__(sample_input)
        self.enforce_column_type, self.enforce_shape = enforce_column_type, enforce_shape

    def deserialize_input(self, input_data: object) -> Any:
        """The array. Raises TypeError or ValueError, also for another shape."""
        numpy = _numpy()
        if isinstance(input_data, numpy.ndarray):
            return input_data
        if not isinstance(input_data, list):
            raise TypeError(f"expected an array, got {type(input_data).__name__}")
        dtype = self.sample_input.dtype
        if not self.enforce_column_type:
            array = numpy.array(input_data)
        elif dtype.names:
            array = numpy.array([_record(one, dtype) for one in input_data], dtype=dtype)
        elif dtype.kind == "m":
            array = numpy.array(_durations(input_data), dtype=dtype)
        else:  # text keeps its length, whatever that of the sample
            array = numpy.array(input_data, dtype=str if dtype.kind == "U" else dtype)
        if self.enforce_shape and array.shape[1:] != self.sample_input.shape[1:]:
            raise ValueError(
                f"expected an array of shape {_shape(self.sample_input.shape)}, got {array.shape}"
            )
        return array

    def input_to_swagger(self) -> Schema:
        """The schema of the array; its sizes too, where they are enforced."""
        shape = self.sample_input.shape
        items = _dtype_schema(self.sample_input.dtype)
        for size in reversed(shape[1:]):
            items = {"type": "array", "items": items}
            if self.enforce_shape:
                items |= {"minItems": size, "maxItems": size}
        # An empty list has no second dimension.
        least = {"minItems": 1} if self.enforce_shape and len(shape) > 1 else {}
        example = _array_example(self.sample_input)
        return {"type": "array", "items": items, **least, "format": "numpy.ndarray", "example": example}


class PandasParameterType(AbstractParameterType):
    """A data frame like the sample: of its columns' types, and of its number of columns. `orient` is pandas' own."""

    def __init__(
        self,
        sample_input: object,
        enforce_column_type: bool = True,
        enforce_shape: bool = True,
        apply_column_names: bool = False,
        orient: str = "records",
    ) -> None:
        if not isinstance(sample_input, _pandas().DataFrame):
            raise TypeError(f"the sample must be a pandas DataFrame, not a {type(sample_input).__name__}")
        if orient not in _ORIENTS:
            raise ValueError(f"orient is {orient!r}, but must be one of {', '.join(_ORIENTS)}")
        super().__init__(sample_input)
        self.enforce_column_type, self.enforce_shape = enforce_column_type, enforce_shape
        self.apply_column_names, self.orient = apply_column_names, orient

    def deserialize_input(self, input_data: object) -> Any:
        """The pandas.DataFrame. Raises ValueError or TypeError."""
        pandas = _pandas()
        if isinstance(input_data, pandas.DataFrame):
            return input_data
        if not isinstance(input_data, list | dict):
            raise TypeError(f"expected an array or an object, got {type(input_data).__name__}")
        text = io.StringIO(json.dumps(input_data))
        frame = pandas.read_json(text, orient=self.orient, dtype=False)
        if self.apply_column_names:
            frame.columns = self.sample_input.columns.copy()
        if self.enforce_column_type:
            types = self.sample_input.dtypes.to_dict()
            wanted = {column: types.get(column, object) for column in frame.columns}
            for column in (c for c, kind in wanted.items() if str(kind).startswith("timedelta")):
                frame[column] = pandas.to_timedelta(frame[column])
            frame = frame.astype(wanted)
        columns = self.sample_input.shape[1]
        if self.enforce_shape and frame.shape[1] != columns:
            raise ValueError(f"expected {columns} columns, got {frame.shape[1]}")
        return frame

    def input_to_swagger(self) -> Schema:
        """The schema of the frame as `orient` writes it; for records, the number of columns where it is enforced."""
        text = self.sample_input.to_json(orient=self.orient, date_format="iso")
        schema, example = schema_of(json.loads(text))
        for column, kind in self.sample_input.dtypes.items():
            name = next((name for name in ("datetime", "timedelta") if str(kind).startswith(name)), "")
            for place in _column_schemas(schema, self.orient, str(column)) if name else ():
                place["format"] = "date-time" if name == "datetime" else name
        if self.orient == "records" and self.enforce_shape:
            cast("Schema", schema["items"])["additionalProperties"] = False
            schema["minItems"] = 1
        return {**schema, "format": f"pandas.DataFrame:{self.orient}", "example": example}


class SparkParameterType(AbstractParameterType):
    """Spark data frames, which need pyspark and the real library."""

    def __init__(self, sample_input: object, apply_sample_schema: bool = True) -> None:
        raise NotImplementedError(
            "SparkParameterType needs pyspark and the library itself: add inference-schema[pyspark-support] to the "
            "app's requirements, or declare a PandasParameterType"
        )


def _numpy() -> Any:
    return importlib.import_module("numpy")


def _pandas() -> Any:
    return importlib.import_module("pandas")


def _read_text(text: str, wanted: type) -> object:
    if issubclass(wanted, bytes | bytearray):
        return wanted(base64.b64decode("".join(text.split()), validate=True))
    if issubclass(wanted, dt.datetime):
        return _datetime(text)
    if issubclass(wanted, dt.date | dt.time):
        return wanted.fromisoformat(text)
    return text


def _datetime(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        try:
            parser = importlib.import_module("dateutil.parser")
        except ModuleNotFoundError:
            raise ValueError(f"`{text}` is no date and time as ISO 8601 writes it") from None
        return cast("dt.datetime", parser.parse(text))


def _shape(sizes: tuple[int, ...]) -> str:
    return f"({', '.join(['any', *map(str, sizes[1:])])}{',' if len(sizes) == 1 else ''})"


def _record(value: object, dtype: Any) -> tuple[object, ...]:
    """One record of a structured array, from an object or from a list in the order of the fields."""
    if isinstance(value, dict) and value.keys() >= set(dtype.names):
        value = [value[name] for name in dtype.names]
    if not isinstance(value, list) or len(value) != len(dtype.names):
        raise ValueError(f"expected a record of {', '.join(dtype.names)}, got {value!r}")
    return tuple(
        _durations(one) if dtype[i].kind == "m" else _record(one, dtype[i]) if dtype[i].names else one
        for i, one in enumerate(value)
    )


def _durations(value: object) -> object:
    """`3 days` and its like as numpy has them, at any depth."""
    if isinstance(value, list):
        return [_durations(one) for one in value]
    if not isinstance(value, str):
        return value
    count, _, unit = value.partition(" ")
    if unit.strip().lower() not in _UNITS:
        raise ValueError(f"`{value}` is no duration: a whole number and a unit, such as `3 days`")
    return _numpy().timedelta64(int(count), _UNITS[unit.strip().lower()])


def _dtype_schema(dtype: Any) -> Schema:
    if dtype.subdtype is not None:
        schema = _dtype_schema(dtype.subdtype[0])
        for _ in dtype.subdtype[1]:
            schema = {"type": "array", "items": schema}
        return schema
    if dtype.names:
        return {"type": "object", "properties": {name: _dtype_schema(dtype[name]) for name in dtype.names}}
    match dtype.kind:
        case "b":
            return {"type": "boolean"}
        case "i" | "u":
            return {"type": "integer", "format": dtype.name}
        case "f":
            return {"type": "number", "format": "double" if dtype.itemsize > 4 else "float"}
        case "M":
            return {"type": "string", "format": "date-time"}
        case "m":
            return {"type": "string", "format": "timedelta"}
        case "U":
            return {"type": "string"}
        case "S" | "V":
            return {"type": "string", "format": "binary"}
        case "O":
            return {"type": "object"}
    raise TypeError(f"there is no schema for arrays of {dtype}")


def _array_example(value: Any) -> object:
    if getattr(getattr(value, "dtype", None), "names", None) and not value.shape:
        return {name: _array_example(value[name]) for name in value.dtype.names}
    if getattr(value, "shape", ()) or isinstance(value, list):
        return [_array_example(one) for one in value]
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in "Mm" and kind:
        return str(value)
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bytes):
        return base64.b64encode(plain).decode()
    return plain if isinstance(plain, bool | int | float | str) else str(plain)


def _column_schemas(schema: Any, orient: str, column: str) -> list[Schema]:
    """Where a column's values are described, by orient; lists (`split`, `values`) have no columns by name."""
    match orient:
        case "records":
            rows = [schema["items"]["properties"]]
        case "table":
            rows = [schema["properties"]["data"]["items"]["properties"]]
        case "index":
            rows = [row["properties"] for row in schema["properties"].values()]
        case "columns":
            return list(schema["properties"][column]["properties"].values())
        case _:
            return []
    return [row[column] for row in rows if column in row]
