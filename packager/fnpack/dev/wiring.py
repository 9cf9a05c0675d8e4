"""Which service each connection setting of an app stands for: one that the user has set, or one of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fnpack.dev.azurite import ACCOUNT
from fnpack.dev.emulator import Emulator
from fnpack.dev.errors import DevError
from fnpack.dev.needs import Entity, Needs
from fnpack.dev.services import Services
from fnpack_triggers.connections import DEFAULT_STORAGE_SETTING, StorageConnection, is_given
from fnpack_triggers.errors import FnpackError
from fnpack_triggers.sections import find_section

DEVELOPMENT_STORAGE = "UseDevelopmentStorage=true"
_Creator = Callable[[Entity], None]


@dataclass(slots=True)
class Wired:
    """The settings that stand for our services, what was created there, and whose connection the user has set."""

    settings: dict[str, str] = field(default_factory=dict)
    created: list[Entity] = field(default_factory=list)
    external: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def wire(needs: Needs, settings: Mapping[str, str], services: Services) -> Wired:
    """Start what the app needs and the user has not, and create what its bindings name.

    Raises DevError where one setting would have to be two things, and what a service cannot start for.
    """
    for both in needs.storage.keys() & needs.bus.keys():
        raise DevError(
            f"the setting `{both}` is the connection of a storage binding and of a Service Bus binding",
            hint="a setting holds one connection string: give one of the two another `connection` "
            "(`service_bus_connection` of a project)",
        )
    wired = Wired()
    storage = {**needs.storage}
    if storage:
        storage.setdefault(DEFAULT_STORAGE_SETTING, ())  # where the host keeps its own state
    # those that the user has set come first: they may say which emulator it is
    for name in sorted(storage, key=lambda name: not is_given(settings, name)):
        _wire_storage(name, storage[name], settings, services, wired)
    for name, entities in needs.bus.items():
        if is_given(settings, name):
            wired.external.append(name)
            _note_external(name, entities, wired)
        else:
            wired.settings[name] = services.bus()
            _create(entities, services.create, wired)
    return wired


def _wire_storage(
    name: str, entities: tuple[Entity, ...], settings: Mapping[str, str], services: Services, wired: Wired
) -> None:
    if not is_given(settings, name):
        wired.settings[name] = services.storage()
        _create(entities, services.create, wired)
        return
    connection = StorageConnection.find(settings, name)
    if connection.text == DEVELOPMENT_STORAGE:
        wired.settings[find_section(settings, name).prefix] = services.storage(well_known_first=True)
        _create(entities, services.create, wired)
        return
    wired.external.append(name)
    if connection.account == ACCOUNT and connection.identity is None:
        _create(entities, Emulator(connection.text).create, wired)
    else:
        _note_external(name, entities, wired)


def _create(entities: tuple[Entity, ...], create: _Creator, wired: Wired) -> None:
    for entity in entities:
        try:
            create(entity)
        except FnpackError as error:  # noqa: PERF203 - the host says which function that stops
            wired.notes.append(f"{entity} is not created: {error}")
        else:
            wired.created.append(entity)


def _note_external(name: str, entities: tuple[Entity, ...], wired: Wired) -> None:
    if entities:
        names = ", ".join(str(entity) for entity in entities)
        wired.notes.append(f"`{name}` is yours, so nothing is created there; the app needs {names}")
