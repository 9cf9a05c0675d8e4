"""Which models a list shows: SDK v1's filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fnpack.models.errors import ModelArgumentError
from fnpack.models.record import ModelRecord
from fnpack.models.registry import ModelRegistry

Filters = Sequence["str | Sequence[str]"]


@dataclass(frozen=True, slots=True)
class Selection:
    """All filters must fit. `tags` and `properties` are lists of `"key"` or `["key", "value"]`."""

    name: str | None = None
    tags: Filters | None = None
    properties: Filters | None = None
    run_id: str | None = None
    dataset_id: str | None = None
    framework: str | None = None
    latest: bool = False

    def of(self, registry: ModelRegistry) -> list[ModelRecord]:
        """The records of a registry that fit: by name, the newest version first."""
        tags, properties = _pairs("tags", self.tags), _pairs("properties", self.properties)
        found: list[ModelRecord] = []
        for record in registry.records(self.name):
            facts = record.facts
            fits = (
                _has(facts.tags, tags)
                and _has(facts.properties, properties)
                and self.run_id in (None, facts.run_id)
                and self.framework in (None, facts.framework)
                and (self.dataset_id is None or self.dataset_id in dict(facts.datasets).values())
            )
            if fits and not (self.latest and found and found[-1].name == record.name):
                found.append(record)
        return found


def _pairs(kind: str, filters: Filters | None) -> list[tuple[str, str | None]]:
    if isinstance(filters, (str, Mapping)):
        raise ModelArgumentError(
            f"{kind} must be a list, not a {type(filters).__name__}",
            hint='write ["key"] or [["key", "value"]]',
        )
    pairs: list[tuple[str, str | None]] = []
    for entry in filters or ():
        match entry:
            case str():
                pairs.append((entry, None))
            case [str(key)]:
                pairs.append((key, None))
            case [str(key), str(value)]:
                pairs.append((key, value))
            case _:
                raise ModelArgumentError(
                    f"{kind}: {entry!r} is no filter", hint='write ["key"] or [["key", "value"]]'
                )
    return pairs


def _has(values: Mapping[str, str], wanted: Sequence[tuple[str, str | None]]) -> bool:
    return all(key in values and value in (None, values[key]) for key, value in wanted)
