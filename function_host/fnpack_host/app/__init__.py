"""Reads a function-app directory: host.json, function.json and the scripts they name. Runs nothing of it."""
