"""Reads what a user wrote (files, variables, flags) and completes it to the data of `fnpack.spec`.

Four steps, each with all its problems at once: read, merge, validate, freeze. No module here prints, builds, or reads
the process environment.
"""
