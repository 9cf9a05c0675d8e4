"""One listener of the blob trigger in one process: says how long a pass takes when all blobs are processed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from fnpack_triggers.base import Binding, Event
from fnpack_triggers.blob import receipts
from fnpack_triggers.blob.account import open_blobs
from fnpack_triggers.blob.digests import blob_digest
from fnpack_triggers.blob.listener import BlobTrigger
from fnpack_triggers.blob.listing import list_page
from fnpack_triggers.blob.state import STATE_CONTAINER
from fnpack_triggers.connections import StorageConnection

PASSES = 3


async def main() -> None:
    """Write the receipts that a run of all blobs leaves, start, and measure the best of a few passes."""
    connection = StorageConnection.parse("INPUT", os.environ["INPUT"])
    state = StorageConnection.parse("STORAGE", os.environ["STORAGE"])
    await write_receipts(connection, state)
    binding = Binding("event", "blobtrigger", "in", {"path": "input/{name}"})
    trigger = BlobTrigger("score", binding, "bench", connection, state)
    await trigger._open(deliver)
    times = []
    for _ in range(PASSES):
        wall, cpu = time.perf_counter(), time.process_time()
        assert not await trigger._pass()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    statm = Path("/proc/self/statm").read_text().split()
    rss_mb = int(statm[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    best = min(times)
    print(json.dumps({"wall_s": best[0], "cpu_s": best[1], "rss_mb": rss_mb}))
    await trigger._resources.aclose()


async def deliver(event: Event) -> None:
    """Nothing is left to run."""
    raise AssertionError(event.source)


async def write_receipts(connection: StorageConnection, state_connection: StorageConnection) -> None:
    """What hosts have compacted after they ran every blob of `input`."""
    async with open_blobs(connection) as source, open_blobs(state_connection) as service:
        data, marker = bytearray(receipts.HEADER), ""
        while True:
            page = await list_page(source.get_container_client("input"), "", marker)
            for name, etag, _ in page.keys():  # noqa: SIM118 - no dictionary
                data += receipts.done(blob_digest("input", name, etag))
            marker = page.next_marker
            if not marker:
                break
        await service.create_container(STATE_CONTAINER)
        state = service.get_container_client(STATE_CONTAINER)
        await state.upload_blob("fnpack/blobtrigger/bench/score/receipts/compacted-bench", bytes(data))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
