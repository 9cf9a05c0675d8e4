"""The Python SDK: names and signatures of Azure ML SDK v1, on a workspace of this machine. It never asks a cloud."""
