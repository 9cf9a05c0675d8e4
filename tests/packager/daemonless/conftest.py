"""A package index on loopback and a user without settings, as the tests of dependencies have them."""

from tests.packager.dependencies.conftest import clean_user, index, make_index

__all__ = ["clean_user", "index", "make_index"]
