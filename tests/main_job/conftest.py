"""Runs the images that the main jobs have built."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def run_image(docker_engine) -> Iterator[Callable[..., object]]:
    """Runs an image as users should: read-only, no capabilities, on the host's network to reach the services."""
    started = []

    def run(reference: str, **environment: str) -> object:
        container = docker_engine.containers.run(
            reference,
            detach=True,
            network_mode="host",
            read_only=True,
            tmpfs={"/tmp": ""},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            environment=environment,
        )
        started.append(container)
        return container

    yield run
    for container in started:
        container.remove(force=True)
