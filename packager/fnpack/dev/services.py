"""The services of one `fnpack dev`: storage and Service Bus, started when they are first needed, or borrowed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from fnpack.dev.azurite import WELL_KNOWN_PORTS, Azurite
from fnpack.dev.azurite_install import ensure_azurite, pinned_version
from fnpack.dev.control import ControlServer, ask
from fnpack.dev.emulator import Emulator, well_known
from fnpack.dev.errors import DevError, ServiceStartError
from fnpack.dev.needs import LOOK_SUBSCRIPTION, Entity
from fnpack.dev.node import find_node
from fnpack.dev.ports import are_free
from fnpack.dev.state import Running

if TYPE_CHECKING:
    from fnpack.devbus import DevBusThread
    from fnpack.devbus.config import BusConfig

BUS_PORT = 5672
_LOOK_TTL_MS = 3_600_000
NOTICE = "a development service: every key is accepted, loopback only, not for production"


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """Where data are kept (None: in memory), at which ports to listen (0: any; None: the usual ones, if free)."""

    data: Path | None = None
    storage_port: int | None = None
    bus_port: int | None = None
    config: Path | None = None  # the official emulator's Config.json


class Services:
    """A context manager; `say` is told in a line what starts."""

    def __init__(
        self,
        options: ServiceOptions,
        config: BusConfig | None,
        say: Callable[[str], None],
        borrowed: Running | None = None,
    ) -> None:
        """`config`: entities that the Service Bus has at its start. `borrowed`: services in place of our own."""
        self._options, self._say, self._borrowed = options, say, borrowed
        self._azurite: Azurite | None = None
        self._bus: DevBusThread | None = None
        self._control: ControlServer | None = None
        self._storage_text = borrowed.storage if borrowed else ""
        self._config = config
        self._open = contextlib.ExitStack()

    @property
    def control_url(self) -> str:
        """Where other processes ask for entities of the Service Bus; empty without one of our own."""
        return self._control.url if self._control else ""

    @property
    def storage_text(self) -> str:
        """The connection string of the storage that runs; empty for none."""
        return self._storage_text

    @property
    def bus_text(self) -> str:
        """The connection string of the Service Bus that runs; empty for none."""
        if self._borrowed is not None:
            return self._borrowed.bus
        return self._bus.connection_string if self._bus is not None else ""

    def storage(self, *, well_known_first: bool = False) -> str:
        """The storage account's connection string; started the first time.

        `well_known_first`: an emulator that answers at the well-known ports already is taken in its place.
        """
        if not self._storage_text and well_known_first and Emulator(well_known()).answers():
            self._storage_text = well_known()
            self._say(f"storage      the emulator that runs at 127.0.0.1:{WELL_KNOWN_PORTS[0]}")
        if not self._storage_text:
            self._azurite = self._start_azurite()
            self._storage_text = self._azurite.connection_string
            ports = ", ".join(str(port) for port in self._azurite.ports)
            self._say(f"storage      Azurite {pinned_version()}, ports {ports}; {self._kept()}")
        return self._storage_text

    def bus(self) -> str:
        """The Service Bus's connection string; started the first time."""
        if self._borrowed is not None:
            return self._borrowed.bus
        if self._bus is None:
            self._bus = self._start_bus()
            self._control = self._open.enter_context(ControlServer(self._create_in_bus))
            self._say(f"service bus  port {self._bus.port}; {self._kept()}")
            self._say(f"             {NOTICE}")
        return self._bus.connection_string

    def create(self, entity: Entity) -> None:
        """Create what is not there yet, in a service that runs. Raises DevError or BusError."""
        if entity.is_of_storage:
            Emulator(self._storage_text).create(entity)
        elif self._borrowed is not None:
            ask(self._borrowed.control, [entity])
        else:
            self._create_in_bus(entity)

    def check(self) -> None:
        """Raise ServiceStartError if a service has ended by itself."""
        if self._azurite is not None and not self._azurite.is_running:
            raise ServiceStartError(f"Azurite has ended:\n{self._azurite.output()[-2000:].strip()}")

    def __enter__(self) -> Services:
        """Nothing runs yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what was started here."""
        self._open.close()

    def _create_in_bus(self, entity: Entity) -> None:
        from fnpack.devbus import QueueSettings

        assert self._bus is not None
        settings = QueueSettings(
            requires_session=entity.has_sessions,
            ttl_ms=_LOOK_TTL_MS if entity.name == LOOK_SUBSCRIPTION else None,
        )
        match entity.kind:
            case "queue":
                self._bus.ensure_queue(entity.name, settings)
            case "topic":
                self._bus.ensure_topic(entity.name)
            case "subscription":
                self._bus.ensure_subscription(entity.topic, entity.name, settings)

    def _start_azurite(self) -> Azurite:
        node = find_node()
        program = ensure_azurite(node, self._say)
        location = self._folder("azurite")
        wanted = self._options.storage_port
        if wanted is None:
            ports = WELL_KNOWN_PORTS if are_free(WELL_KNOWN_PORTS) else ()
        else:
            ports = (wanted, wanted + 1, wanted + 2) if wanted else ()
            if not are_free(ports):
                raise DevError(
                    f"the ports {wanted} to {wanted + 2} for storage are not free",
                    hint="choose others with --storage-port (0 takes any free ones), or leave it out",
                )
        azurite = Azurite(node.binary, program, location, ports)
        self._open.callback(azurite.close)
        azurite.start()
        return azurite

    def _start_bus(self) -> DevBusThread:
        from fnpack.devbus import DevBusThread

        wanted = self._options.bus_port
        port = wanted if wanted is not None else BUS_PORT if are_free((BUS_PORT,)) else 0
        folder = self._folder("servicebus")
        bus = DevBusThread(port=port, store=folder / "messages.sqlite" if folder else None)
        try:
            bus.start()
        except OSError as error:
            raise DevError(
                f"the Service Bus cannot listen on 127.0.0.1:{port}: {error.strerror or error}",
                hint="choose another port with --servicebus-port (0 takes any free one), or leave it out",
            ) from error
        self._open.callback(bus.stop)
        if (config := self._config) is not None:
            bus.call(lambda one: one.apply(config))
        return bus

    def _folder(self, name: str) -> Path | None:
        if self._options.data is None:
            return None
        folder = self._options.data / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _kept(self) -> str:
        from fnpack.config.files import label

        data = self._options.data
        return f"data are kept in {label(data)}" if data is not None else "data are kept in memory"


def read_bus_config(options: ServiceOptions) -> BusConfig | None:
    """The entities that a configuration file names. Raises ConfigurationError with every problem."""
    if options.config is None:
        return None
    from fnpack.devbus.config import read_config

    return read_config(options.config)
