"""The sections of an environment that have no meaning for scoring in a function: Spark, Databricks and R.

Saved environments carry them with default values, which pass; anything else is refused rather than ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

from fnpack.config.section import Section

_SPARK: Mapping[str, object] = {"repositories": [], "packages": [], "precachePackages": True}
_DATABRICKS: Mapping[str, object] = dict.fromkeys(
    ("mavenLibraries", "pypiLibraries", "rcranLibraries", "jarLibraries", "eggLibraries")
)
_R: Mapping[str, object] = {"userManaged": False} | dict.fromkeys(
    (
        "rVersion",
        "rscriptPath",
        "snapshotDate",
        "cranPackages",
        "githubPackages",
        "customUrlPackages",
        "bioconductorPackages",
    )
)


def refuse_spark(environment: Section) -> None:
    """Note everything in the `spark` section that is not its default."""
    _refuse(environment, "spark", _SPARK, "Spark is not part of a function; score without it")


def refuse_databricks(environment: Section) -> None:
    """Note everything in the `databricks` section that is not its default."""
    _refuse(environment, "databricks", _DATABRICKS, "add what the script imports to the list of pip")


def refuse_r(environment: Section) -> None:
    """Note everything in the `r` section that is not its default."""
    _refuse(environment, "r", _R, "only Python scripts can be built")


def _refuse(environment: Section, key: str, defaults: Mapping[str, object], way_out: str) -> None:
    section = environment.section(key, tuple(defaults))
    if section is None:
        return
    for name, default in defaults.items():
        value = section.data.get(name)
        if not (value is None or value == default or (isinstance(value, (list, dict, str)) and not value)):
            section.problem(name, "this cannot be honoured", f"remove it: {way_out}")
