"""A script that needs numpy and scikit-learn, beside a model that is 200 MB of bytes."""

import json
import os
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge

model = None


def init():
    """Fit something small, and see that the model is there."""
    global model
    if "AZUREML_MODEL_DIR" in os.environ:
        assert (Path(os.environ["AZUREML_MODEL_DIR"]) / "model.bin").stat().st_size
    model = Ridge().fit(np.arange(20.0).reshape(10, 2), np.arange(10.0))


def run(data):
    """One prediction a row."""
    return model.predict(np.array(json.loads(data)["data"])).tolist()
