"""The image as packages see it: platform, Python and C library, with the wheel tags and markers that follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from fnpack.dependencies.errors import DependencyError

if TYPE_CHECKING:
    from packaging.markers import Environment
    from packaging.tags import Tag

Libc = Literal["glibc", "musl"]
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
USUAL_GLIBC = (2, 28)  # for a base image that is not known yet: everything since Debian 10 has it
_UV_GLIBC_MINORS = [17, 28, *range(31, 41)]  # the levels that uv knows
_OLDEST_GLIBC_MINOR = {"x86_64": 5, "aarch64": 17}
_MUSL_MINOR = 2
_OLD_NAMES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


class Target(NamedTuple):
    """What packages are chosen for. `python_version` is "3.11" style.

    `libc_version` is the base image's (`(2, 36)`), or None while it is not known.
    """

    platform: str
    python_version: str
    libc: Libc = "glibc"
    libc_version: tuple[int, int] | None = None

    @property
    def machine(self) -> str:
        """`x86_64` or `aarch64`, as markers and wheels have it. Raises DependencyError for another platform."""
        return MACHINES[self.checked().platform]

    def checked(self) -> Target:
        """The same. Raises DependencyError for a platform that packages are not locked for."""
        if self.platform not in MACHINES:
            raise DependencyError(
                f"dependencies cannot be locked for the platform `{self.platform}`",
                hint="use linux/amd64 or linux/arm64",
            )
        return self

    @property
    def glibc(self) -> tuple[int, int]:
        """The C library's version, or what every usual base image has."""
        return self.libc_version or USUAL_GLIBC

    @property
    def level(self) -> str:
        """The C library as a lock records it: `musl`, or `glibc 2.28` with a version that uv has a name for."""
        return "musl" if self.libc == "musl" else f"glibc 2.{self._uv_minor}"

    @property
    def uv_platform(self) -> str:
        """The name that uv has for it."""
        if self.libc == "musl":
            return f"{self.machine}-unknown-linux-musl"
        return f"{self.machine}-manylinux_2_{self._uv_minor}"

    def tags(self) -> list[Tag]:
        """The wheel tags that fit, best first."""
        from packaging.tags import compatible_tags, cpython_tags

        major, minor = (int(part) for part in self.python_version.split(".")[:2])
        platforms = list(self._platform_tags())
        interpreter = f"cp{major}{minor}"
        return [
            *cpython_tags((major, minor), abis=[interpreter], platforms=platforms),
            *compatible_tags((major, minor), interpreter=interpreter, platforms=platforms),
        ]

    def markers(self) -> Environment:
        """The environment that markers are evaluated in; of the patch release only the first is known to be there."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python_version}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python_version}.0",
            "python_version": self.python_version,
            "sys_platform": "linux",
        }

    @property
    def _uv_minor(self) -> int:
        known: list[int] = [minor for minor in _UV_GLIBC_MINORS if minor <= self.glibc[1]]
        return known[-1] if known else _UV_GLIBC_MINORS[0]

    def _platform_tags(self) -> Iterator[str]:
        if self.libc == "musl":
            newest = self.libc_version[1] if self.libc_version else _MUSL_MINOR
            yield from (f"musllinux_1_{minor}_{self.machine}" for minor in range(newest, -1, -1))
        else:
            for minor in range(self.glibc[1], _OLDEST_GLIBC_MINOR[self.machine] - 1, -1):
                yield f"manylinux_2_{minor}_{self.machine}"
                if minor in _OLD_NAMES:
                    yield f"{_OLD_NAMES[minor]}_{self.machine}"
        yield f"linux_{self.machine}"
