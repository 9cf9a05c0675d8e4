"""A TCP proxy that stands for distance: each byte arrives half a round trip after it was sent, at any rate."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from types import TracebackType

BLOCK_BYTES = 256 * 1024
MOST_BLOCKS = 256  # under way in one direction; more than half a round trip's worth at any rate seen here


class DelayProxy:
    """The proxy, on a loopback port; opening a connection costs a round trip, too."""

    def __init__(self, upstream: str, round_trip_s: float) -> None:
        """`upstream` is `host:port`."""
        host, _, port = upstream.rpartition(":")
        self.upstream = (host, int(port))
        self.one_way_s = round_trip_s / 2
        self.sent_bytes = 0  # from clients to the server
        self.connections = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> DelayProxy:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening; connections that are open end with their peers."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                opened_s = time.monotonic() + 2 * self.one_way_s
                server = socket.create_connection(self.upstream)
                self.connections += 1
                for source, target, is_request in ((client, server, True), (server, client, False)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    blocks: queue.Queue[tuple[float, bytes]] = queue.Queue(MOST_BLOCKS)
                    threading.Thread(
                        target=self._take, args=(source, blocks, opened_s, is_request), daemon=True
                    ).start()
                    threading.Thread(target=_give, args=(target, blocks), daemon=True).start()

    def _take(
        self,
        source: socket.socket,
        blocks: queue.Queue[tuple[float, bytes]],
        opened_s: float,
        is_request: bool,
    ) -> None:
        """Receive until the end, which is an empty block; note when each block is due on the other side."""
        block = b"-"
        while block:
            try:
                block = source.recv(BLOCK_BYTES)
            except OSError:
                block = b""
            if is_request:
                with self._lock:
                    self.sent_bytes += len(block)
            blocks.put((max(time.monotonic(), opened_s) + self.one_way_s, block))


def _give(target: socket.socket, blocks: queue.Queue[tuple[float, bytes]]) -> None:
    """Send each block when it is due."""
    is_open = True
    while True:
        due_s, block = blocks.get()
        time.sleep(max(0.0, due_s - time.monotonic()))
        try:
            if not block:
                target.shutdown(socket.SHUT_WR)
            elif is_open:
                target.sendall(block)
        except OSError:  # the peer has gone; what is still under way is dropped
            is_open = False
        if not block:
            return
