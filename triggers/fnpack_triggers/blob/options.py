"""What a user may set about the blob trigger (host.json `extensions.blobs`, and an app setting)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

MIN_LEASE_S, MAX_LEASE_S = 15, 60  # what the service allows


def _default_parallelism() -> int:
    return 8 * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class BlobOptions:
    """`max_degree_of_parallelism`: blobs run at once. `poison_blob_threshold`: attempts before a blob is poison.

    `lease_s`: how long a share of the blobs stays a host's that says nothing more, and so how late its blobs are
    run by another host after it was killed. All hosts of an app have the same.
    """

    max_degree_of_parallelism: int = field(default_factory=_default_parallelism)
    poison_blob_threshold: int = 5
    lease_s: int = 30
