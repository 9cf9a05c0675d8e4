"""TensorFlow's SavedModel folders, by the wire format of saved_model.pb: version, signatures. No graph is read."""

from __future__ import annotations

from pathlib import Path

from fnpack.no_code.found import Dimensions, Found, NoCodeError
from fnpack.no_code.scikit_learn import pinned
from fnpack.no_code.wire import Message, WireError, message_of

_FILE = "saved_model.pb"
_SIGNATURE = "serving_default"
_SAVE = (
    "save it with `model.export('folder')` (Keras) or `tf.saved_model.save(model, 'folder', signatures=...)`"
)
# SavedModel: meta_graphs 2; MetaGraphDef: meta_info_def 1, signature_def 5; MetaInfoDef: tags 4,
# tensorflow_version 5; SignatureDef: inputs 1, outputs 2; TensorInfo: dtype 2, tensor_shape 3;
# TensorShapeProto: dim 2 (size 1), unknown_rank 3.
_TYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "str",
    9: "int64",
    10: "bool",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}


def matches(path: Path) -> bool:
    """Whether it is a folder with saved_model.pb."""
    return (path / _FILE).is_file()


def find(path: Path) -> Found:
    """Version and inputs. Raises NoCodeError where nothing is signed for serving."""
    try:
        with (path / _FILE).open("rb") as file:
            return _found(path, message_of(file))
    except WireError as error:
        raise NoCodeError(
            f"`{path.name}/{_FILE}` cannot be read: {error}", hint="is the file whole? Save the model again"
        ) from error


def _found(path: Path, model: Message) -> Found:
    graphs = list(model.messages(2))
    graph = next((one for one in graphs if "serve" in _tags(one)), graphs[0] if graphs else None)
    if graph is None:
        raise NoCodeError(f"`{path.name}/{_FILE}` holds no graph", hint=_SAVE)
    info = graph.first(1)
    version = info.words(5) or None if info is not None else None
    signatures = {entry.words(1): entry.first(2) for entry in graph.messages(5)}
    names = sorted(name for name in signatures if not name.startswith("__"))
    chosen = _SIGNATURE if _SIGNATURE in names else names[0] if len(names) == 1 else None
    if chosen is None:
        what = (
            f"has the signatures {', '.join(f'`{name}`' for name in names)}" if names else "has no signature"
        )
        raise NoCodeError(f"`{path.name}` {what}, and no `{_SIGNATURE}`", hint=_SAVE)
    signature = signatures[chosen]
    inputs = dict(_input(path, one) for one in signature.messages(1)) if signature is not None else {}
    shown = ", ".join(
        f"{name} {kind}{list(size)}".replace("None", "?") for name, (kind, size) in inputs.items()
    )
    cpu, other = pinned("tensorflow-cpu", version), pinned("tensorflow", version)
    return Found(
        "TensorFlow",
        version,
        "tensorflow_model",
        (f"{cpu} ; platform_machine == 'x86_64'", f"{other} ; platform_machine != 'x86_64'", "numpy"),
        {"INPUTS": inputs, "SIGNATURE": chosen},
        f"{chosen}: {shown}",
    )


def _tags(graph: Message) -> list[str]:
    info = graph.first(1)
    return [tag.text for tag in info.messages(4)] if info is not None else []


def _input(path: Path, entry: Message) -> tuple[str, tuple[str, Dimensions]]:
    name, tensor = entry.words(1), entry.first(2)
    number = tensor.number(2) if tensor is not None else 0
    kind = _TYPES.get(number)
    if tensor is None or kind is None:
        raise NoCodeError(
            f"`{path.name}`: the input `{name}` is of TensorFlow's type {number}, which JSON cannot say",
            hint="give an entry script that makes it from the request",
        )
    shape = tensor.first(3)
    sizes = [one.number(1, 0) for one in shape.messages(2)] if shape is not None else []
    return name, (kind, tuple(None if size < 0 else size for size in sizes))
