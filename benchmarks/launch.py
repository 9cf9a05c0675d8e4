"""Runs one command and prints its seconds and peak memory: `launch.py COMMAND [ARG ...]`, started with -I -S.

A process of its own, because a child's peak begins with that of the process which started it, and this one is small.
What the command says goes to stderr.
"""

import json
import os
import sys
import time

since = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - since
print(
    json.dumps(
        {
            "seconds": seconds,
            "peak_bytes": usage.ru_maxrss * 1024,
            "code": os.waitstatus_to_exitcode(status),
        }
    )
)
