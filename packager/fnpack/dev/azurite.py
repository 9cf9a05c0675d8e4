"""Azurite, the storage emulator, as a child process: how it is started and how clients reach it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fnpack.dev.azurite_install import PACKAGE
from fnpack.dev.service import Service

ACCOUNT = "devstoreaccount1"
# Azurite's published account key: every installation has it, it protects nothing
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
WELL_KNOWN_PORTS = (10000, 10001, 10002)
KINDS = ("blob", "queue", "table")


class Azurite(Service):
    """A storage account with blobs, queues and tables; in memory unless it has a location."""

    name = "Azurite"
    listening = re.compile(r"successfully listening at http://127\.0\.0\.1:(\d+)")
    listeners = len(KINDS)

    def __init__(
        self, node: Path, program: Path, location: Path | None = None, ports: Sequence[int] = ()
    ) -> None:
        super().__init__(location, ports)
        self._node, self._program = node, program

    def command(self) -> list[str]:
        """Node, Azurite and its options. The SDK speaks newer versions of the protocol than Azurite says it knows."""
        data = ["--location", str(self.location)] if self.location else ["--inMemoryPersistence"]
        places = [
            word
            for kind, port in zip(KINDS, self.ports or (0, 0, 0), strict=True)
            for word in (f"--{kind}Host", "127.0.0.1", f"--{kind}Port", str(port))
        ]
        return [
            str(self._node),
            "--require",
            str(PACKAGE / "end-with-parent.js"),
            str(self._program),
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
            *data,
            *places,
        ]

    @property
    def connection_string(self) -> str:
        """What goes into `AzureWebJobsStorage` or a trigger's connection setting."""
        return connection_string(self.ports)

    @property
    def blob_endpoint(self) -> str:
        """The blob service's address, without a slash at its end."""
        return self._endpoint(0)

    @property
    def queue_endpoint(self) -> str:
        """The queue service's address."""
        return self._endpoint(1)

    @property
    def table_endpoint(self) -> str:
        """The table service's address."""
        return self._endpoint(2)

    def _endpoint(self, index: int) -> str:
        return _address(self.ports[index])


def connection_string(ports: Sequence[int]) -> str:
    """The connection string of an Azurite that listens at these ports: blob, queue, table."""
    blob, queue, table = (_address(port) for port in ports)
    return (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
        f"BlobEndpoint={blob};QueueEndpoint={queue};TableEndpoint={table};"
    )


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}/{ACCOUNT}"
