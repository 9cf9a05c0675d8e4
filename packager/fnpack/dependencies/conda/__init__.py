"""Conda environments without conda and without a daemon: solved, locked and laid out for an image by py-rattler."""
