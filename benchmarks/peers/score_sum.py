"""The scoring script that fnpack and azmlinfsrv run."""

import json


def init():
    """Nothing to load."""


def run(data):
    """Sum the request's numbers."""
    return sum(json.loads(data)["data"])
