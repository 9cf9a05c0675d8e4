"""An image's HEALTHCHECK: exit 0 when the host answers its ping, else 1."""

from __future__ import annotations

import http.client
import os
import sys

from fnpack_host.__main__ import DEFAULT_PORT


def main() -> int:
    """Ping the host on this machine."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(os.environ.get("FNPACK_PORT") or DEFAULT_PORT), timeout=4
    )
    try:
        connection.request("GET", "/admin/host/ping")
        return 0 if connection.getresponse().status == 200 else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
