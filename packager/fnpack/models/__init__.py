"""The model registry: models by name and version, in a folder, in shared storage, or in MLflow."""
