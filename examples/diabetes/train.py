"""Fits a Ridge regression on scikit-learn's bundled diabetes data and saves it beside this file."""

from __future__ import annotations

from pathlib import Path

import joblib
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

MODEL_FILE = Path(__file__).with_name("sklearn_regression_model.pkl")


def main() -> None:
    """Train and save the model, then print where it is."""
    features, progression = load_diabetes(return_X_y=True)
    model = Ridge(alpha=0.03).fit(features, progression)
    joblib.dump(model, MODEL_FILE)
    print(MODEL_FILE)


if __name__ == "__main__":
    main()
