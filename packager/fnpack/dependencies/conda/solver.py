"""Solves a conda environment for an image with py-rattler."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fnpack.dependencies.conda.channels import channel_alias, channel_names
from fnpack.dependencies.conda.errors import ChannelUnreachable, CondaNotPossible, UnsatisfiableConda
from fnpack.dependencies.conda.lockfile import CondaPackage
from fnpack.dependencies.conda.rattler import clean, rattler, run, without_secrets
from fnpack.dependencies.target import Target
from fnpack.spec import CondaPackages

if TYPE_CHECKING:
    from rattler import Channel, GenericVirtualPackage, RepoDataRecord

SUBDIRS = {"linux/amd64": "linux-64", "linux/arm64": "linux-aarch64"}
_OLDEST_KERNEL = "4.18"  # Debian 10 and RHEL 8; containers share the host's


def solve(conda: CondaPackages, target: Target, kept: Sequence[CondaPackage] = ()) -> list[CondaPackage]:
    """The packages of the environment, by name. Versions in `kept` stay where they still fit.

    Raises UnsatisfiableConda with the solver's reason, ChannelUnreachable.
    """
    if target.libc != "glibc":
        raise CondaNotPossible(
            "conda packages need glibc, and the base image is built on musl",
            hint="choose a Debian-like base image",
        )
    module = rattler()
    from rattler import exceptions

    try:
        records = run(
            module.solve(
                sources=_channels(conda.channels),
                specs=list(conda.specs),
                platforms=[SUBDIRS[target.platform], "noarch"],
                locked_packages=[record(one) for one in kept],
                virtual_packages=_virtual_packages(target),
                gateway=module.Gateway(client=client()),
                channel_relations="disabled",
            )
        )
    except exceptions.SolverError as error:
        raise UnsatisfiableConda(
            f"no conda packages fit for {target.platform} on the channels "
            f"{', '.join(channel_names(conda.channels))}\n{_reason(error)}",
            hint="loosen one of the packages named above, add the channel that has it, or move it to the list of pip",
        ) from error
    except exceptions.InvalidMatchSpecError as error:
        raise UnsatisfiableConda(
            f"a conda package cannot be read: {clean(error)}", hint="write `name=1.2`"
        ) from error
    except (exceptions.GatewayError, exceptions.FetchRepoDataError, exceptions.InvalidChannelError) as error:
        raise ChannelUnreachable(
            f"a conda channel cannot be read: {clean(error)}",
            hint="check the channel's name and the network; logins come from netrc, or from rattler's or pixi's own "
            "(`RATTLER_AUTH_FILE`, `pixi auth login`)",
        ) from error
    found = [_package(one, target.platform) for one in records]
    return sorted(found, key=lambda one: one.name)


def client() -> object:
    """rattler's HTTP client: retries, and logins from netrc and rattler's own store."""
    return rattler().Client.default_client()


def record(package: CondaPackage) -> RepoDataRecord:
    """A locked package as rattler has it."""
    module = rattler()
    plain = module.PackageRecord(
        package.name,
        package.version,
        module.BuildString(package.build),
        package.build_number,
        package.subdir,
        noarch=package.noarch or None,
        depends=list(package.depends),
        constrains=list(package.constrains),
        sha256=bytes.fromhex(package.sha256) if package.sha256 else None,
        md5=bytes.fromhex(package.md5) if package.md5 else None,
        size=package.size or None,
        license=package.license or None,
        python_site_packages_path=package.site_packages or None,
    )
    name = package.url.rpartition("/")[2]
    found: RepoDataRecord = module.RepoDataRecord(plain, name, package.url, package.channel)
    return found


def _channels(names: Sequence[str]) -> list[Channel]:
    module = rattler()
    alias = channel_alias()
    config = module.ChannelConfig(channel_alias=alias) if alias else None
    return [module.Channel(name, config) for name in channel_names(names)]


def _virtual_packages(target: Target) -> list[GenericVirtualPackage]:
    """What the image's system provides; a CUDA driver is there if CONDA_OVERRIDE_CUDA says so, as for conda."""
    module = rattler()
    facts = {
        "__unix": ("0", "0"),
        "__linux": (_OLDEST_KERNEL, "0"),
        "__glibc": (".".join(map(str, target.glibc)), "0"),
        "__archspec": ("1", target.machine),
    }
    build_string = module.BuildString
    cuda = os.environ.get("CONDA_OVERRIDE_CUDA")
    if cuda:
        facts["__cuda"] = (cuda, "0")
    return [
        module.GenericVirtualPackage(module.PackageName(name), module.Version(version), build_string(build))
        for name, (version, build) in facts.items()
    ]


def _package(found: RepoDataRecord, platform: str) -> CondaPackage:
    noarch = "python" if found.noarch.python else "generic" if found.noarch.generic else ""
    return CondaPackage(
        platform=platform,
        name=found.name.normalized,
        version=str(found.version),
        build=str(found.build),
        build_number=found.build_number,
        subdir=found.subdir,
        url=without_secrets(found.url),
        channel=without_secrets(found.channel or ""),
        sha256=found.sha256.hex() if found.sha256 else "",
        md5=found.md5.hex() if found.md5 else "",
        size=found.size or 0,
        noarch=noarch,
        site_packages=found.python_site_packages_path or "",
        license=found.license or "",
        depends=tuple(found.depends),
        constrains=tuple(found.constrains),
    )


def _reason(error: object) -> str:
    return re.sub(r"^Cannot solve the request because of: ", "", clean(error))
