"""Which ports of the loopback are free at the moment."""

from __future__ import annotations

import socket
from collections.abc import Sequence

LOOPBACK = "127.0.0.1"


def are_free(ports: Sequence[int], address: str = LOOPBACK) -> bool:
    """Whether all of them can be listened on now."""
    try:
        for port in ports:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
    except OSError:
        return False
    return True


def any_free(address: str = LOOPBACK) -> int:
    """A port that nothing listens on."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
