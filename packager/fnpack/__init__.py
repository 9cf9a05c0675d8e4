"""The packager: turns a model, an entry script and an inference configuration into a function app and its image."""

__version__ = "0.1.0"
