"""Pickles and joblib files of estimators: scikit-learn's own, and those of libraries with its interface."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fnpack.no_code.found import Found, NoCodeError, counted, start_of
from fnpack.no_code.lightgbm_files import GOMP
from fnpack.no_code.packed import is_lz4, opened
from fnpack.no_code.pickles import Global, Made, Pickled, PickleError, read_pickle

FRAMEWORK = "scikit-learn"
ENDINGS = (".pkl", ".pickle", ".joblib", ".sav", ".p", ".z", ".gz", ".bz2", ".lzma", ".xz")
# Modules of estimators, and the package that has them.
ESTIMATORS = {
    "sklearn": "scikit-learn",
    "imblearn": "imbalanced-learn",
    "xgboost": "xgboost-cpu",
    "lightgbm": "lightgbm",
}
_PACKAGES = {
    **ESTIMATORS,
    "scipy": "scipy",
    "pandas": "pandas",
    "category_encoders": "category-encoders",
    "sklearn_pandas": "sklearn-pandas",
    "dill": "dill",
    "cloudpickle": "cloudpickle",
}
# Modules that need no package of their own.
_PLAIN = frozenset({"builtins", "__builtin__", "copyreg", "copy_reg", "joblib", "numpy"})
_SCRIPT = (
    "a class of your own needs an entry script of yours and the module that has it: --entry-script, "
    + ("--source-directory")
)
# Inside a pickled booster: XGBoost's UBJSON, LightGBM's text.
_XGBOOST = re.compile(rb"version\[#L\0{7}\x03i(.)i(.)i(.)", re.DOTALL)
_XGBOOST_FEATURES = re.compile(rb"num_featureSL\0{7}.(\d+)", re.DOTALL)
_LIGHTGBM = re.compile(rb"tree\r?\nversion=v4")
_PIECE = 1 << 20
_TEXT = "sklearn.feature_extraction.text"


def matches(path: Path) -> bool:
    """Whether the file begins as a pickle does, maybe inside joblib's compression."""
    start = start_of(path, 6)
    if not start:
        return False
    if start[0] == 0x80 and start[1:2] and start[1] <= 5:
        return True
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x5d\x00", b"\x04\x22\x4d\x18", b"\x78")):
        return path.suffix.lower() in ENDINGS
    return start[:1] in (b"(", b"c") and path.suffix.lower() in ENDINGS  # protocol 0 and 1


def find(path: Path) -> Found:
    """What the pickle holds. Raises NoCodeError for what is no estimator, or needs code of the user's own."""
    if is_lz4(path):
        raise NoCodeError(
            f"`{path.name}` is compressed with lz4, which cannot be looked into",
            hint="save it with joblib's compress=3 (zlib), or give an entry script",
        )
    try:
        with opened(path) as source:
            pickled = read_pickle(source)
    except PickleError as error:
        raise NoCodeError(
            f"`{path.name}` begins as a pickle, but cannot be read to its end: {error}",
            hint="is the file whole? Save the model again, or give an entry script",
        ) from error
    estimator = _estimator(path, pickled)
    features, columns = inputs(estimator)
    version = pickled.sklearn_versions[-1] if pickled.sklearn_versions else None
    pins = requirements(pickled.modules, version, columns)
    if "xgboost-cpu" in pins or "lightgbm" in pins:
        pins, inside = _with_boosters(path, pins)
        features = inside if features is None else features
    name = str(estimator.maker).rpartition(".")[2]
    about = ", ".join(part for part in (name, counted(features, "feature")) if part)
    return Found(
        FRAMEWORK,
        version,
        "scikit_learn",
        pins,
        {"FEATURES": features, "COLUMNS": columns, "TEXT": _takes_text(estimator)},
        about,
        notes=(GOMP,) if any(pin.startswith("lightgbm") for pin in pins) else (),
    )


def requirements(modules: set[str], version: str | None, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The packages of the modules, scikit-learn as the file says, numpy of the major version that wrote it."""
    names = {module.partition(".")[0] for module in modules}
    found = [pinned("scikit-learn", version)]
    if any(module.startswith("numpy._core") for module in modules):
        found.append("numpy>=2")
    elif any(module.startswith("numpy.core") for module in modules):
        found.append("numpy<2")
    if columns:
        names.add("pandas")  # the model was given data frames
    others = {package for name, package in _PACKAGES.items() if name in names} - {"scikit-learn"}
    return (*found, *sorted(pandas_for(version) if one == "pandas" else one for one in others))


def pandas_for(version: str | None) -> str:
    """pandas, of a release that scikit-learn of that version knew: texts have another type in pandas 3."""
    found = re.match(r"(\d+)\.(\d+)", version or "")
    return "pandas<3" if found is not None and (int(found[1]), int(found[2])) < (1, 8) else "pandas"


def pinned(package: str, version: str | None) -> str:
    """`package==version`; without a release's version the package alone."""
    return f"{package}=={version}" if version and re.fullmatch(r"\d+(\.\d+)*(rc\d+)?", version) else package


def inputs(estimator: Made) -> tuple[int | None, tuple[str, ...]]:
    """The number of features, and their names where the estimator knows them."""
    for one in _taking_input(estimator):
        for name in ("n_features_in_", "_n_features"):
            features = one.attribute(name)
            if isinstance(features, int) and not isinstance(features, bool) and features > 0:
                return features, _names(one.attribute("feature_names_in_"))
    return None, ()


def _with_boosters(path: Path, pins: tuple[str, ...]) -> tuple[tuple[str, ...], int | None]:
    """XGBoost's version and number of features, and LightGBM's form, out of the boosters inside the pickle."""
    found: dict[re.Pattern[bytes], re.Match[bytes]] = {}
    with opened(path) as source:
        held = b""
        while piece := source.read(_PIECE):
            held = held[-256:] + piece
            for pattern in (_XGBOOST, _XGBOOST_FEATURES, _LIGHTGBM):
                if pattern not in found and (match := pattern.search(held)):
                    found[pattern] = match
    xgboost, features, lightgbm = (found.get(one) for one in (_XGBOOST, _XGBOOST_FEATURES, _LIGHTGBM))
    exact = {
        "xgboost-cpu": "xgboost-cpu==" + ".".join(str(part[0]) for part in xgboost.groups())
        if xgboost
        else "",
        "lightgbm": "lightgbm>=4" if lightgbm else "",
    }
    return tuple(exact.get(pin) or pin for pin in pins), int(features[1]) if features else None


def _estimator(path: Path, pickled: Pickled) -> Made:
    """The root, if it is an estimator of a known library and all within comes from known ones."""
    root = pickled.root
    maker = root.maker if isinstance(root, Made) else root
    name = str(maker) if isinstance(maker, Global) else ""
    if name.startswith("torch.") or "torch._utils" in pickled.modules:
        raise NoCodeError(
            f"`{path.name}` is a pickle of PyTorch tensors or modules",
            hint="save the model with torch.jit.script(model).save(...) or torch.export.save(...), "
            "or give an entry script",
        )
    if not isinstance(root, Made) or name.partition(".")[0] not in ESTIMATORS:
        if (
            isinstance(root, Made)
            and name
            and name.partition(".")[0] not in {*_PLAIN, *_PACKAGES, "collections"}
        ):
            raise NoCodeError(f"`{path.name}` is a pickle of `{name}`, a class of your own", hint=_SCRIPT)
        raise NoCodeError(
            f"`{path.name}` is a pickle of {_described(root, name)}, and no estimator",
            hint="pickle the fitted estimator itself, or give an entry script",
        )
    own = sorted(name for name in pickled.globals if _is_own(name))
    if own:
        listed = ", ".join(f"`{name}`" for name in own[:3])
        raise NoCodeError(
            f"`{path.name}` holds {listed}, which no package of fnpack's list has", hint=_SCRIPT
        )
    return root


def _is_own(name: str) -> bool:
    import sys

    top = name.partition(".")[0]
    return top not in {*_PLAIN, *_PACKAGES} and (top not in sys.stdlib_module_names or top == "__main__")


def _described(root: object, name: str) -> str:
    if name:
        return f"`{name}`"
    kinds = {dict: "a dict", list: "a list", tuple: "a tuple", set: "a set", str: "a text"}
    return next((text for kind, text in kinds.items() if isinstance(root, kind)), "a plain value")


def _taking_input(estimator: Made, depth: int = 8) -> Iterator[Made]:
    """The estimator, and those inside that get its input first."""
    yield estimator
    for name in ("steps", "best_estimator_", "estimator", "regressor_", "base_estimator") if depth else ():
        inner = estimator.attribute(name)
        if name == "steps" and isinstance(inner, list):
            for step in inner[:1]:
                inner = step[1] if isinstance(step, tuple) and len(step) > 1 else None
        if isinstance(inner, Made):
            yield from _taking_input(inner, depth - 1)


def _takes_text(estimator: Made) -> bool:
    return any(str(one.maker).startswith(_TEXT) for one in _taking_input(estimator))


def _names(value: object) -> tuple[str, ...]:
    """The texts of an array of objects, pickled by numpy or by joblib."""
    if isinstance(value, Made) and isinstance(value.state, tuple) and len(value.state) == 5:
        items = value.state[4]
    elif isinstance(value, Made) and len(value.items) == 1 and value.items[0] is not value:
        return _names(value.items[0])
    else:
        return ()
    return tuple(items) if isinstance(items, list) and all(isinstance(one, str) for one in items) else ()
