"""Runs `fnpack` as if this were Windows, as far as Linux can tell: `python other_system.py ARGUMENT ...`.

What POSIX alone has is taken out of os, signal and socket, its modules cannot be imported, and a file that is open
can neither be renamed nor removed. What Python's own library imported before keeps what it knows.
"""

from __future__ import annotations

import os
import select  # noqa: F401 - before POSIX goes
import shutil
import signal
import socket
import subprocess  # noqa: F401 - as above
import sys
import tempfile  # noqa: F401 - as above
from contextlib import suppress
from pathlib import Path
from typing import Any

MODULES = ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog", "readline")
NAMES: dict[Any, tuple[str, ...]] = {
    os: (
        "chown", "copy_file_range", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getloadavg",
        "getpgid", "getuid", "getxattr", "killpg", "lchown", "mkfifo", "mknod", "nice", "posix_fadvise", "posix_spawn",
        "posix_spawnp", "pread", "pwrite", "register_at_fork", "sched_getaffinity", "sendfile", "setsid", "statvfs",
        "sync", "sysconf", "uname", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW",
    ),
    signal: (
        "alarm", "pthread_sigmask", "setitimer", "SIGALRM", "SIGCHLD", "SIGHUP", "SIGPIPE", "SIGQUIT", "SIGUSR1",
        "SIGUSR2",
    ),
    socket: ("AF_UNIX",),
}  # fmt: skip


def hide_posix() -> None:
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in NAMES.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    shutil._USE_CP_SENDFILE = False  # type: ignore[attr-defined]
    for name in ("rename", "replace", "remove", "unlink"):
        setattr(os, name, refusing_open_files(getattr(os, name)))


def refusing_open_files(change: Any) -> Any:
    def changed(path: Any, *rest: Any, **more: Any) -> Any:
        is_below_folder = any(more.get(name) is not None for name in ("dir_fd", "src_dir_fd"))
        if not is_below_folder and Path(path).absolute() in open_files():
            raise PermissionError(13, "used by another process", os.fspath(path))
        return change(path, *rest, **more)

    return changed


def open_files() -> set[Path]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that listed them
            found.add(descriptor.readlink())
    return found


if __name__ == "__main__":
    hide_posix()
    from fnpack.__main__ import main

    sys.argv[0] = "fnpack"
    main()
