"""The names of Azure ML's model data collectors. They take what scripts collect and keep nothing, and say so once."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("fnpack_scoring")
_told: set[str] = set()


class ModelDataCollector:
    """`azureml.monitoring.ModelDataCollector` of SDK v1."""

    def __init__(self, model_name: object = None, *args: object, **settings: object) -> None:
        _tell("azureml.monitoring.ModelDataCollector")

    def collect(self, *data: object, **named: object) -> None:
        """Keep nothing."""

    def add_correlations(self, *data: object, **named: object) -> object:
        """The data as it is."""
        return data[0] if data else None


class CorrelationContext:
    """What ties two calls of `collect` together."""

    def __init__(self, id: str = "") -> None:
        self._id = id

    def get_id(self) -> str:
        """Its id."""
        return self._id


class Collector:
    """`azureml.ai.monitoring.Collector`, which came after SDK v1."""

    def __init__(self, name: object = None, on_error: Callable[[Exception], object] | None = None) -> None:
        _tell("azureml.ai.monitoring.Collector")

    def collect(
        self, data: object, correlation_context: CorrelationContext | None = None
    ) -> CorrelationContext:
        """Keep nothing; returns the context for the next call."""
        return correlation_context or CorrelationContext()


def _tell(name: str) -> None:
    if name not in _told:
        _told.add(name)
        log.warning(
            "%s: nothing is collected; the package is not installed, and fnpack has no collector of its own",
            name,
        )
