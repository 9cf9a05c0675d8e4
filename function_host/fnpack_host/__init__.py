"""The function host: runs a function-app directory. It never imports the packager or user code."""

__version__ = "0.1.0"
