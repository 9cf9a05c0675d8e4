"""Moves code written for Azure ML SDK v1 to fnpack: its imports, and a list of what a person has to decide."""
