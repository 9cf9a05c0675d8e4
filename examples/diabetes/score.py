"""Scores rows of ten features with the diabetes model; an entry script as the Azure ML SDK v1 defines it.

`init` runs once before the first request and loads the model, `run` is called with each request's JSON text.
"""

import json
import os

import joblib
import numpy as np

model = None


def init():
    """Load the model from the directory that the image names."""
    global model
    model_path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "sklearn_regression_model.pkl")
    model = joblib.load(model_path)


def run(data):
    """Return one prediction for each row of `{"data": [[ten numbers], ...]}`."""
    rows = np.array(json.loads(data)["data"])
    return model.predict(rows).tolist()
