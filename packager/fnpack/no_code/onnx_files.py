"""ONNX files, by the wire format of ModelProto: opset, IR version, inputs and outputs. No weights are read."""

from __future__ import annotations

from pathlib import Path

from fnpack.no_code.found import Dimensions, Found, NoCodeError, start_of
from fnpack.no_code.wire import Message, WireError, message_of

# ModelProto: ir_version 1, producer_name 2, producer_version 3, graph 7, opset_import 8; GraphProto: node 1,
# initializer 5, input 11, output 12; ValueInfoProto: name 1, type 2; TypeProto: tensor_type 1;
# TensorProto: name 8, data_location 14.
_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "str",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
# The first opset that a release of onnxruntime is needed for.
_RUNTIMES = ((24, "1.24"), (23, "1.23"), (22, "1.21"), (21, "1.18"), (20, "1.17"), (19, "1.15"), (18, "1.14"))
_FIRST_RUNTIME = "1.13"
_MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
_MOST_FIELDS = 100_000


def matches(path: Path) -> bool:
    """Whether the file begins with an IR version (field 1), and has a graph (7) and opsets (8)."""
    start = start_of(path)
    if len(start) < 8 or start[0] != 0x08 or not 3 <= start[1] <= 30:
        return False
    seen: set[int] = set()
    try:
        with path.open("rb") as file:
            for count, (number, _) in enumerate(message_of(file).fields()):
                if number not in _MODEL_FIELDS or count > _MOST_FIELDS:
                    return False
                seen.add(number)
    except WireError:
        return path.suffix == ".onnx"
    return {1, 7, 8} <= seen


def find(path: Path) -> Found:
    """What the graph takes and gives. Raises NoCodeError for weights that are in other files than those given."""
    try:
        with path.open("rb") as file:
            return _found(path, message_of(file))
    except WireError as error:
        raise NoCodeError(
            f"`{path.name}` begins as an ONNX model, but cannot be read to its end: {error}",
            hint="is the file whole? Save the model again",
        ) from error


def _found(path: Path, model: Message) -> Found:
    graph = model.first(7)
    if graph is None:
        raise NoCodeError(f"`{path.name}` has no graph", hint="save the model again")
    opset = max((one.number(2) for one in model.messages(8) if one.words(1) in ("", "ai.onnx")), default=0)
    weights = list(graph.messages(5))
    _check_external(path, weights)
    constant = {weight.words(8) for weight in weights}
    inputs = {
        name: kind
        for name, kind in (_input(path, value) for value in graph.messages(11))
        if name not in constant
    }
    runtime = next((version for first, version in _RUNTIMES if opset >= first), _FIRST_RUNTIME)
    producer = f"{model.words(2)} {model.words(3)}".strip()
    shown = ", ".join(
        f"{name} {kind}{list(size)}".replace("None", "?") for name, (kind, size) in inputs.items()
    )
    about = f"opset {opset}" + (f", by {producer}" if producer else "") + f"; {shown}"
    return Found(
        "ONNX",
        None,
        "onnx_model",
        (f"onnxruntime>={runtime}",),
        {"INPUTS": inputs},
        about,
    )


def _check_external(path: Path, weights: list[Message]) -> None:
    for weight in weights:
        if weight.number(14) != 1:
            continue
        for entry in weight.messages(13):
            if entry.words(1) == "location" and not (path.parent / entry.words(2)).is_file():
                raise NoCodeError(
                    f"`{path.name}` has its weights in `{entry.words(2)}`, which is not beside it",
                    hint="give the folder that holds both",
                )


def external_files(path: Path) -> bool:
    """Whether weights are in other files."""
    with path.open("rb") as file:
        graph = message_of(file).first(7)
        return graph is not None and any(weight.number(14) == 1 for weight in graph.messages(5))


def _input(path: Path, value: Message) -> tuple[str, tuple[str, Dimensions]]:
    name, tensor = value.words(1), value.first(2, 1)
    kind = _TYPES.get(tensor.number(1)) if tensor is not None else None
    if tensor is None or kind is None:
        raise NoCodeError(
            f"`{path.name}`: the input `{name}` is no tensor of numbers or texts",
            hint="give an entry script that makes it from the request",
        )
    shape = tensor.first(2)
    sizes = [one.number(1) or None for one in shape.messages(1)] if shape is not None else []
    return name, (kind, tuple(sizes))
