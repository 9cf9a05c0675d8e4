"""What is found out about a model's file, without loading it: formats by real files, and by hand-made ones."""

from __future__ import annotations

import functools
import io
import json
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import trained_models as trained
from hypothesis import given, settings
from hypothesis import strategies as st

from fnpack.engine.protobuf import encode
from fnpack.no_code import FORMATS, Found, NoCodeError, find
from fnpack.no_code.packed import opened
from fnpack.no_code.pickles import FileSource, Made, PickleError, read_pickle
from fnpack.no_code.wire import WireError, message_of


def packages(found: Found) -> dict[str, str]:
    """Requirements by package."""
    import re

    return {re.split(r"[<>=; ]", line)[0]: line for line in found.requirements}


def zipped(path: Path, members: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


# --- pickles ---


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('it was run')",)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(NoCodeError, match=r"`builtins\.exec`, and no estimator"):
        find(path)


def test_finding_out_imports_no_library_of_models(tmp_path: Path) -> None:
    path = trained.pickled(tmp_path)
    code = (
        "import sys; from pathlib import Path; from fnpack.no_code import find\n"
        f"assert find(Path({str(path)!r}))[0].version\n"
        "print(sorted({'sklearn', 'numpy', 'joblib', 'pickle', 'onnx', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, text=True, capture_output=True)
    assert (done.stdout, done.stderr) == ("['pickle']\n", "")  # pickletools imports it for its numbers


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickle_of_every_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    import sklearn

    found, inner = find(trained.pickled(tmp_path, protocol=protocol))
    assert (found.framework, found.version, inner) == ("scikit-learn", sklearn.__version__, "model.pkl")
    assert found.facts["FEATURES"] == 4
    assert packages(found) == {"scikit-learn": f"scikit-learn=={sklearn.__version__}", "numpy": "numpy>=2"}


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
def test_joblib_file_is_read_through_its_arrays_and_its_compression(tmp_path: Path, compress: object) -> None:
    found, _ = find(trained.joblib_file(tmp_path, trained.of_people(), compress=compress))
    assert found.facts["COLUMNS"] == ("age", "city")
    assert packages(found)["pandas"] == "pandas<3"
    assert found.title.startswith("scikit-learn 1.")


def test_arrays_are_not_read(tmp_path: Path) -> None:
    import numpy as np

    model = trained.classifier()
    model.large = np.zeros(4_000_000)
    read = 0

    class Counted(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal read
            data = super().read(-1 if size is None else size) or b""
            read += len(data)
            return data

    for path in (trained.pickled(tmp_path, model), trained.joblib_file(tmp_path, model)):
        with Counted(str(path)) as file:
            pickled = read_pickle(FileSource(file))
        assert isinstance(pickled.root, Made)
        assert pickled.is_whole
    assert read < 100_000


def test_numpy_of_the_same_major_version_is_asked_for(tmp_path: Path) -> None:
    data = trained.pickled(tmp_path, protocol=2).read_bytes().replace(b"numpy._core", b"numpy.core")
    (tmp_path / "model.pkl").write_bytes(data)
    assert packages(find(tmp_path / "model.pkl")[0])["numpy"] == "numpy<2"


def test_estimators_of_other_libraries_name_their_own_package(tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    rows = trained.numbers()
    made = xgboost.XGBClassifier(n_estimators=2, verbosity=0).fit(*rows)
    found, _ = find(trained.pickled(tmp_path, made))
    assert packages(found)["xgboost-cpu"] == f"xgboost-cpu=={xgboost.__version__}"
    assert found.facts["FEATURES"] == 4
    other = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1).fit(*rows)
    assert packages(find(trained.pickled(tmp_path, other))[0])["lightgbm"] == "lightgbm>=4"


class Own:
    """A class that no package has."""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"model": 1}, "a dict, and no estimator"),
        ([1, 2], "a list, and no estimator"),
        ("text", "a text, and no estimator"),
        (Own(), "test_find.Own`, a class of your own"),
    ],
)
def test_pickle_of_no_estimator_is_refused(tmp_path: Path, value: object, message: str) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(NoCodeError, match=message) as caught:
        find(tmp_path / "model.pkl")
    assert "entry script" in (caught.value.hint or "")


def test_pickle_with_a_class_of_the_users_own_inside_is_refused(tmp_path: Path) -> None:
    model = trained.classifier()
    model.steps.insert(0, ("own", Own()))
    with pytest.raises(NoCodeError, match="holds `.*Own`, which no package"):
        find(trained.pickled(tmp_path, model))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for start in (b"", b"\x80\x04"):
        _reads(start + data)


def _reads(data: bytes) -> bool:
    try:
        read_pickle(FileSource(io.BytesIO(data)))
    except PickleError:
        return False
    return True


def test_a_text_with_a_wrong_escape_warns_nobody() -> None:
    assert not _reads(b"S'\\\n.")
    assert _reads(b"S'\\q'\n.")


@given(st.integers(0, 4000), st.binary(max_size=40))
def test_a_damaged_pickle_is_refused_or_read(at: int, noise: bytes) -> None:
    _reads(_GOOD[:at] + noise + _GOOD[at + len(noise) :])


_GOOD = pickle.dumps({"a": [1, 2.5, None, "text", b"bytes", (1, 2), {3}, Own()] * 20}, 4)


def test_a_very_long_pickle_is_known_by_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fnpack.no_code.pickles._MOST_OPCODES", 60)
    found, _ = find(trained.pickled(tmp_path))
    assert found.title.startswith("scikit-learn")
    assert found.about == "Pipeline"


def test_truncated_file_says_so(tmp_path: Path) -> None:
    path = trained.joblib_file(tmp_path, compress=3)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(NoCodeError, match="cannot be read to its end") as caught:
        find(path)
    assert "is the file whole" in (caught.value.hint or "")


def test_unpacked_pieces_are_the_files_bytes(tmp_path: Path) -> None:
    import zlib

    data = bytes(range(256)) * 2000
    (tmp_path / "a.z").write_bytes(zlib.compress(data))
    with opened(tmp_path / "a.z") as source:
        source.skip(1000)
        assert source.read(300_000) == data[1000:301_000]
        source.skip(10)
        assert source.read(10**6) == data[301_010:]


# --- skops, ONNX, XGBoost, LightGBM, MLflow ---


def test_skops_file_says_versions_columns_and_needs_no_trust(tmp_path: Path) -> None:
    import skops

    found, _ = find(trained.skops_file(tmp_path, trained.of_people()))
    assert packages(found)["skops"] == f"skops=={skops.__version__}"
    assert (found.facts["COLUMNS"], found.facts["SKOPS"]) == (("age", "city"), True)


def test_skops_file_with_classes_that_skops_does_not_trust_is_refused(tmp_path: Path) -> None:
    schema = {"__class__": "Own", "__module__": "mine", "_skops_version": "0.16.0"}
    with pytest.raises(NoCodeError, match=r"holds `mine\.Own`, which skops trusts only if told to"):
        find(zipped(tmp_path / "m.skops", {"schema.json": json.dumps(schema)}))


def test_onnx_file_says_opset_inputs_and_runtime(tmp_path: Path) -> None:
    found, _ = find(trained.onnx_file(tmp_path, trained.of_people()))
    assert found.facts["INPUTS"] == {"age": ("float64", (None, 1)), "city": ("str", (None, 1))}
    assert found.requirements[0].startswith("onnxruntime>=1.")
    assert "opset" in found.title


def test_onnx_weights_in_other_files_need_the_folder(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    weight = onnx.numpy_helper.from_array(__import__("numpy").ones((2, 2), "float32"), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight]
    )
    folder = tmp_path / "net"
    folder.mkdir()
    onnx.save(
        helper.make_model(graph),
        str(folder / "net.onnx"),
        save_as_external_data=True,
        location="net.bin",
        size_threshold=0,
    )
    found, inner = find(folder)
    assert (found.facts["INPUTS"], inner) == ({"x": ("float32", (None, 2))}, "net/net.onnx")
    with pytest.raises(NoCodeError, match="weights in files beside it"):
        find(folder / "net.onnx")
    (folder / "net.bin").unlink()
    with pytest.raises(NoCodeError, match=r"weights in `net\.bin`, which is not beside it"):
        find(folder)


@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_xgboost_file_says_its_version(tmp_path: Path, ending: str) -> None:
    import xgboost

    found, _ = find(trained.xgboost_file(tmp_path, ending, names=["a", "b", "c", "d"]))
    assert (found.version, found.facts["FEATURES"]) == (xgboost.__version__, 4)
    assert found.facts["COLUMNS"] == ("a", "b", "c", "d")
    assert "binary:logistic" in found.title


def test_xgboosts_older_form_is_refused_with_how_to_convert(tmp_path: Path) -> None:
    (tmp_path / "old.model").write_bytes(
        struct.pack("<fI30i", 0.5, 4, *[0] * 30) + b"\x0f\0\0\0\0\0\0\0binary:logistic"
    )
    with pytest.raises(NoCodeError, match="XGBoost's older binary form") as caught:
        find(tmp_path / "old.model")
    assert "save_model('model.ubj')" in (caught.value.hint or "")


def test_lightgbm_file_says_form_and_features(tmp_path: Path) -> None:
    found, _ = find(trained.lightgbm_file(tmp_path))
    assert "libgomp" in found.notes[0]
    assert (found.facts, found.requirements) == ({"FEATURES": 4, "COLUMNS": ()}, ("lightgbm>=4", "numpy"))
    path = tmp_path / "model.txt"
    path.write_text(path.read_text().replace("pandas_categorical:null", 'pandas_categorical:[["a", "b"]]'))
    with pytest.raises(NoCodeError, match="categorical columns of pandas"):
        find(path)


def test_mlflow_folder_says_packages_python_and_columns(tmp_path: Path) -> None:
    found, inner = find(trained.mlflow_folder(tmp_path))
    version = f"3.{sys.version_info.minor}"
    assert (found.framework, found.python_version, inner) == ("MLflow", version, "people")
    assert packages(found)["mlflow-skinny"] == "mlflow-skinny==3.17.2"
    assert {"scikit-learn", "pandas", "numpy"} <= set(packages(found))
    assert [column["name"] for column in found.facts["INPUTS"]] == ["age", "city"]  # type: ignore[attr-defined]


def test_mlflow_folder_without_a_list_uses_conda_yaml_and_keeps_mlflow_for_other_loaders(
    tmp_path: Path,
) -> None:
    (tmp_path / "MLmodel").write_text("flavors:\n  python_function: {loader_module: mlflow.langchain}\n")
    (tmp_path / "conda.yaml").write_text(
        "dependencies:\n- python=3.11\n- pip:\n  - mlflow==3.1\n  - langchain==1.0\n"
    )
    found, _ = find(tmp_path)
    assert found.requirements == ("mlflow==3.1", "langchain==1.0", "numpy", "pandas")
    (tmp_path / "MLmodel").write_text("flavors:\n  r_function: {version: 1}\n")
    with pytest.raises(NoCodeError, match="flavours `r_function`, and no `python_function`"):
        find(tmp_path)


# --- PyTorch and TensorFlow, by their format ---


def test_torchscript_is_told_by_its_code(tmp_path: Path) -> None:
    members: dict[str, str | bytes] = {
        "net/data.pkl": b"\x80\x02}q\0.",
        "net/code/__torch__/Net.py": "class Net(Module): ...",
        "net/version": "3",
    }
    found, _ = find(zipped(tmp_path / "net.pt", members))
    assert (found.framework, found.requirements[0], found.facts["EXPORTED"]) == (
        "TorchScript",
        "torch>=2",
        False,
    )
    assert "CUDA" in found.notes[0]


@pytest.mark.parametrize("layout", ["serialized_exported_program.json", "net/models/model.json"])
def test_exported_program_says_version_and_inputs(tmp_path: Path, layout: str) -> None:
    program = {
        "torch_version": "2.8.0+cpu",
        "graph_module": {
            "graph": {
                "tensor_values": {
                    "x": {"dtype": 7, "sizes": [{"as_expr": {"expr_str": "s0"}}, {"as_int": 4}]}
                }
            },
            "signature": {
                "input_specs": [
                    {"parameter": {"arg": {"name": "w"}, "parameter_name": "w"}},
                    {"user_input": {"arg": {"as_tensor": {"name": "x"}}}},
                ]
            },
        },
    }
    members: dict[str, str | bytes] = {layout: json.dumps(program), "net/archive_format": "pt2"}
    found, _ = find(zipped(tmp_path / "net.pt2", members))
    assert (found.version, found.requirements[0]) == ("2.8.0", "torch==2.8.0")
    assert found.facts == {"INPUTS": {"x": ("float32", (None, 4))}, "EXPORTED": True}


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (b"\x80\x02ccollections\nOrderedDict\nq\0)Rq\x01.", r"weights alone \(a state_dict\)"),
        (b"\x80\x02}q\0.", r"weights alone \(a state_dict\)"),
        (b"\x80\x02cmine\nNet\nq\0)\x81q\x01}q\x02b.", r"a pickled `mine\.Net`, whose code it does not hold"),
    ],
)
def test_torch_save_is_refused_with_what_to_save(tmp_path: Path, root: bytes, message: str) -> None:
    with pytest.raises(NoCodeError, match=message) as caught:
        find(zipped(tmp_path / "net.pt", {"net/data.pkl": root, "net/version": "3"}))
    assert "torch.jit.script" in (caught.value.hint or "")
    assert "torch.export" in (caught.value.hint or "")


def saved_model(
    folder: Path, inputs: Mapping[str, tuple[int, list[int]]], signature: str = "serving_default"
) -> Path:
    """A SavedModel's folder with an empty graph."""
    entries = []
    for name, (dtype, shape) in inputs.items():
        sizes = b"".join(encode((2, encode((1, size if size >= 0 else (1 << 64) + size)))) for size in shape)
        entries.append((1, encode((1, name), (2, encode((1, f"{name}:0"), (2, dtype), (3, sizes))))))
    info = encode((4, "serve"), (5, "2.18.0"))
    graph = encode((1, info), (2, b"\x0a\x00"), (5, encode((1, signature), (2, encode(*entries)))))
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(encode((1, 1), (2, graph)))
    return folder


def test_saved_model_says_version_and_inputs(tmp_path: Path) -> None:
    found, inner = find(saved_model(tmp_path / "net", {"x": (1, [-1, 4]), "word": (7, [-1])}))
    assert (found.framework, found.version, inner) == ("TensorFlow", "2.18.0", "net")
    assert found.facts["INPUTS"] == {"x": ("float32", (None, 4)), "word": ("str", (None,))}
    assert packages(found)["tensorflow-cpu"] == "tensorflow-cpu==2.18.0 ; platform_machine == 'x86_64'"
    with pytest.raises(NoCodeError, match=r"has no signature, and no `serving_default`"):
        find(saved_model(tmp_path / "bare", {}, "__saved_model_init_op"))


# --- all else ---


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras wrote models"),
        ("m.tflite", b"\x1c\0\0\0TFL3", "a TensorFlow Lite model"),
        ("m.safetensors", struct.pack("<Q", 20) + b'{"a": {}}', "weights alone"),
        ("m.pmml", b"<?xml version='1.0'?><PMML>", "a PMML document"),
        ("m.cbm", b"CBM1\0\0", "a CatBoost model"),
        ("m.npy", b"\x93NUMPY", "a numpy array"),
        ("m.bin", b"", "is empty"),
        ("m.bin", b"hello", "begins with b'hello', which is no known model"),
    ],
)
def test_other_files_are_named_and_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NoCodeError, match=message.replace("(", r"\(")):
        find(tmp_path / name)


def test_keras_file_is_refused_with_how_to_export(tmp_path: Path) -> None:
    with pytest.raises(NoCodeError, match="is a Keras model") as caught:
        find(zipped(tmp_path / "m.keras", {"metadata.json": "{}", "config.json": "{}"}))
    assert "model.export" in (caught.value.hint or "")


def test_error_for_an_unknown_file_lists_every_format(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"hello")
    with pytest.raises(NoCodeError) as caught:
        find(tmp_path / "m")
    assert all(name in (caught.value.hint or "") for name in FORMATS)


def test_folder_with_one_model_is_that_model(tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "readme.txt").write_text("about it")
    trained.pickled(folder)
    assert find(folder)[1] == "outputs/model.pkl"
    trained.joblib_file(folder)
    with pytest.raises(NoCodeError, match="holds 2 models: `model.joblib`, `model.pkl`"):
        find(folder)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        for _, value in message_of(io.BytesIO(data)).fields():
            if not isinstance(value, int):
                _ = value.text
    except WireError:
        pass


STARTS = (
    b"", b"\x80\x04", b"\x78\x9c", b"\x1f\x8b\x08", b"PK\x03\x04", b"\x08\x0a\x12\x00",
    b"tree\nversion=v4\nmax_feature_idx=",
    b"{L\0\0\0\0\0\0\0\x07learner", b"{L\0\0\0\0\0\0\0\x07learner{L\0\0\0\0\0\0\0\x01a", b'{"learner":',
)  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_any_file_is_found_out_or_refused(start: bytes, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        path.write_bytes(start + data)
        with suppress(NoCodeError):
            find(path)


@settings(deadline=None)  # the first case trains a model
@given(st.sampled_from(["skops", "onnx", "ubj"]), st.floats(0, 1), st.binary(min_size=1, max_size=30))
def test_a_damaged_file_is_found_out_or_refused(kind: str, place: float, noise: bytes) -> None:
    data = _whole(kind)
    at = int(place * len(data))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{kind}"
        path.write_bytes(data[:at] + noise + data[at + len(noise) :])
        with suppress(NoCodeError):
            find(path)


@functools.cache
def _whole(kind: str) -> bytes:
    makers = {"skops": trained.skops_file, "onnx": trained.onnx_file, "ubj": trained.xgboost_file}
    with tempfile.TemporaryDirectory() as folder:
        return makers[kind](Path(folder)).read_bytes()
