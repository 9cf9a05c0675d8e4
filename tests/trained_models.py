"""Small trained models in every format that the packages of the tests can write, and what each should predict."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROWS = [[0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.1, 0.2], [0.5, 0.4, 0.7, 0.9]]
PEOPLE = [{"age": 31.0, "city": "Ghent"}, {"age": 52.0, "city": "Oslo"}]


def numbers() -> tuple[Any, Any]:
    """Rows of four features, and a class for each."""
    generator = np.random.default_rng(7)
    rows = generator.random((60, 4))
    return rows, (rows[:, 0] + rows[:, 1] > 1).astype(int)


def classifier() -> Any:
    """A pipeline for four features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*numbers())


def of_people() -> Any:
    """A pipeline for a data frame with a number and a text."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.DataFrame({"age": [31.0, 52.0, 44.0, 27.0], "city": ["Ghent", "Oslo", "Oslo", "Ghent"]})
    columns = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    return make_pipeline(columns, LinearRegression()).fit(frame, [1.0, 2.0, 3.0, 4.0])


def of_texts() -> Any:
    """A pipeline for texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    return make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(["good day", "bad day"], ["up", "down"])


def pickled(folder: Path, model: Any = None, name: str = "model.pkl", protocol: int = 4) -> Path:
    """A pickle."""
    path = folder / name
    path.write_bytes(pickle.dumps(classifier() if model is None else model, protocol))
    return path


def joblib_file(folder: Path, model: Any = None, compress: Any = 0, name: str = "model.joblib") -> Path:
    """A joblib file, compressed or not."""
    import joblib

    joblib.dump(classifier() if model is None else model, folder / name, compress=compress)
    return folder / name


def skops_file(folder: Path, model: Any = None) -> Path:
    """A skops file."""
    import skops.io

    skops.io.dump(classifier() if model is None else model, folder / "model.skops")
    return folder / "model.skops"


def onnx_file(folder: Path, model: Any = None) -> Path:
    """An ONNX file, of the pipeline by default."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skl2onnx import to_onnx

        options = {"zipmap": False} if model is None else None
        made = to_onnx(classifier() if model is None else model, _sample(model), options=options)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return folder / "model.onnx"


def _sample(model: Any) -> Any:
    import pandas as pd

    return np.array(ROWS, np.float32) if model is None else pd.DataFrame(PEOPLE)


def xgboost_file(folder: Path, ending: str = "ubj", names: list[str] | None = None) -> Path:
    """XGBoost's own file."""
    import xgboost

    rows, classes = numbers()
    matrix = xgboost.DMatrix(rows, classes, feature_names=names)
    booster = xgboost.train({"objective": "binary:logistic", "verbosity": 0}, matrix, 4)
    booster.save_model(folder / f"model.{ending}")
    return folder / f"model.{ending}"


def lightgbm_file(folder: Path) -> Path:
    """LightGBM's own file."""
    import lightgbm

    rows, classes = numbers()
    data = lightgbm.Dataset(rows, classes, params={"verbose": -1})
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 4)
    booster.save_model(folder / "model.txt")
    return folder / "model.txt"


def mlflow_folder(folder: Path, save: Callable[..., None] | None = None) -> Path:
    """A folder of MLflow, for the data frame of people; packages are named, so that none are looked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.sklearn
        import pandas as pd
        from mlflow.models import infer_signature

        model = of_people()
        frame = pd.DataFrame(PEOPLE)
        mlflow.sklearn.save_model(
            model,
            str(folder / "people"),
            signature=infer_signature(frame, model.predict(frame)),
            pip_requirements=["mlflow==3.17.2", "scikit-learn==1.7.2", "skops==0.16.0"],
        )
    return folder / "people"
