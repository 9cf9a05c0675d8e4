"""A scoring script that takes ten milliseconds."""

import time


def init():
    """Nothing to load."""


def run(data):
    """Wait, as a model would compute."""
    time.sleep(0.01)
    return 1
