"""PyTorch files: TorchScript, exported programs, and those that hold weights alone, told apart by the zip's names."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import cast

from fnpack.no_code.found import Dimensions, Found, NoCodeError, start_of
from fnpack.no_code.pickles import FileSource, Made, PickleError, read_pickle
from fnpack.no_code.scikit_learn import pinned

_LARGEST_JSON = 512 << 20
_SAVE = (
    "save the model with its code: `torch.jit.script(model).save('model.pt')`, or "
    "`torch.export.save(torch.export.export(model, (example,)), 'model.pt2')`; or give an entry script"
)
_CPU = (
    "torch of the usual index brings CUDA with it (some 3 GB); for a CPU image let UV_INDEX or pip.conf name "
    "PyTorch's CPU index, or pin torch in --requirements"
)
_OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # torch.save before 1.6
# The numbers of torch.export's schema.
_TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
}


def matches(path: Path) -> bool:
    """Whether it is a zip as PyTorch writes it, or its older form."""
    start = start_of(path)
    if start.startswith(_OLD_MAGIC):
        return True
    if not start.startswith(b"PK\x03\x04"):
        return False
    names = _names(path)
    return bool(_inner(names, "data.pkl") or _inner(names, "archive_format") or _EXPORTED in names)


_EXPORTED = "serialized_exported_program.json"


def find(path: Path) -> Found:
    """TorchScript or an exported program. Raises NoCodeError for weights without a model's code."""
    if start_of(path).startswith(_OLD_MAGIC):
        raise NoCodeError(f"`{path.name}` was written by torch.save before PyTorch 1.6", hint=_SAVE)
    names = _names(path)
    if _EXPORTED in names:
        return _exported(path, _EXPORTED)
    if _inner(names, "archive_format"):
        programs = [name for name in names if name.endswith(".json") and "/models/" in f"/{name}"]
        if len(programs) != 1:
            what = "no exported program" if not programs else f"{len(programs)} exported programs"
            raise NoCodeError(f"`{path.name}` is a PT2 archive with {what}", hint=_SAVE)
        return _exported(path, programs[0])
    if any("/code/" in f"/{name}" for name in names):
        facts: dict[str, object] = {"EXPORTED": False}
        return Found("TorchScript", None, "pytorch_model", ("torch>=2", "numpy"), facts, notes=(_CPU,))
    raise NoCodeError(f"`{path.name}` holds {_content(path, names)}", hint=_SAVE)


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as file:
            return file.namelist()
    except zipfile.BadZipFile:
        return []


def _inner(names: list[str], wanted: str) -> str | None:
    """The member of that name in the one folder of the archive."""
    return next((name for name in names if name.split("/")[1:] == [wanted]), None)


def _exported(path: Path, member: str) -> Found:
    with zipfile.ZipFile(path) as file:
        if file.getinfo(member).file_size > _LARGEST_JSON:
            raise NoCodeError(f"`{path.name}`: its {member} is too large to be looked into")
        try:
            program = json.loads(file.read(member))
        except (ValueError, RecursionError) as error:
            raise NoCodeError(
                f"`{path.name}`: {member} cannot be read: {error}", hint="save the model again"
            ) from error
    version = program.get("torch_version") if isinstance(program, dict) else None
    plain = version.partition("+")[0] if isinstance(version, str) else None
    return Found(
        "PyTorch export",
        plain,
        "pytorch_model",
        (pinned("torch", plain) if plain else "torch>=2.1", "numpy"),
        {"INPUTS": _inputs(program), "EXPORTED": True},
        notes=(_CPU,),
    )


def _inputs(program: object) -> dict[str, tuple[str, Dimensions]]:
    """The inputs of the graph in their order; {} where the file says it in a way that is not known here."""
    found: dict[str, tuple[str, Dimensions]] = {}
    try:
        module = cast("dict[str, dict[str, dict[str, dict[str, object]]]]", program)["graph_module"]
        values = cast("dict[str, dict[str, object]]", module["graph"]["tensor_values"])
        for spec in cast(
            "list[dict[str, dict[str, dict[str, dict[str, str]]]]]", module["signature"]["input_specs"]
        ):
            if "user_input" in spec:
                name = spec["user_input"]["arg"]["as_tensor"]["name"]
                sizes = cast("list[dict[str, int]]", values[name]["sizes"])
                dtype = _TYPES[cast("int", values[name]["dtype"])]
                found[name] = (dtype, tuple(size.get("as_int") for size in sizes))
    except (KeyError, TypeError, AttributeError):
        return {}
    return found


def _content(path: Path, names: list[str]) -> str:
    """What a torch.save file holds, by its pickle, which is only looked at."""
    member = _inner(names, "data.pkl") or ""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            root = read_pickle(FileSource(io.BytesIO(file.read(_LARGEST_JSON)))).root
    except (PickleError, KeyError, zipfile.BadZipFile):
        return "what torch.save wrote, which cannot be looked into"
    if isinstance(root, dict) or (isinstance(root, Made) and str(root.maker) == "collections.OrderedDict"):
        return "weights alone (a state_dict), and not the model's code"
    if isinstance(root, Made):
        return f"a pickled `{root.maker}`, whose code it does not hold"
    return "tensors, and no model"
