"""How registries are talked to: limits, times, and what the environment says about proxies, CAs, logins and caches.

This is the one module of the registry client that reads the environment. It opens no file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fnpack.cache_folder import cache_folder, home_folder
from fnpack.config.image_names import registry_name

if TYPE_CHECKING:
    from fnpack.spec import RegistryLogin

MIB = 1024 * 1024
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SECRETS = frozenset({"aad_token", "auth_text"})


class Proxies(NamedTuple):
    """The HTTP proxies to go through, by the scheme of the address wanted. `repr` hides them: they may hold a login."""

    http: str | None = None
    https: str | None = None
    exceptions: tuple[str, ...] = ()  # NO_PROXY: hosts, `.domain`s, `host:port`s, networks, or `*`

    def __repr__(self) -> str:
        """Without the proxies."""
        return f"Proxies(exceptions={self.exceptions!r})"


class RegistrySettings(NamedTuple):
    """All that a registry client is told. `discover` fills it from the environment; tests and callers replace parts.

    `insecure` are registries (`host[:port]`) that may be reached without TLS, or with a certificate nobody vouches for.
    `logins` come first among the places for a login. `variable_login` is that of FNPACK_REGISTRY_USERNAME; without an
    address it goes to `target` alone, the registry that is pushed to. `cache` is the folder for what is kept from run
    to run, or None to keep nothing. `repr` shows no login.
    """

    insecure: frozenset[str] = frozenset()
    logins: tuple[RegistryLogin, ...] = ()
    variable_login: RegistryLogin | None = None
    target: str | None = None
    aad_token: str | None = None
    auth_files: tuple[Path, ...] = ()  # first come, first served
    auth_text: str | None = None  # DOCKER_AUTH_CONFIG
    proxies: Proxies = Proxies()
    ca_files: tuple[Path, ...] = ()
    certificate_folders: tuple[Path, ...] = ()  # with a folder `host[:port]` for each registry
    cache: Path | None = None
    workers: int = 4
    attempts: int = 5
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    connect_timeout_s: float = 10.0
    timeout_s: float = 60.0
    commit_timeout_s: float = 300.0  # a registry may copy a large blob before it answers
    chunk_threshold_bytes: int = 128 * MIB
    chunk_bytes: int = 64 * MIB
    small_chunk_bytes: int = 4 * MIB  # the last way, where larger requests are refused
    ask_first_bytes: int = 128 * 1024  # a smaller blob is sent without asking whether it is there

    def __repr__(self) -> str:
        """Without the token, and the text that may hold passwords."""
        shown = [f"{name}={value!r}" for name, value in self._asdict().items() if name not in _SECRETS]
        return f"RegistrySettings({', '.join(shown)})"

    @classmethod
    def discover(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        insecure: Iterable[str] = (),
        logins: Iterable[RegistryLogin] = (),
        target: str | None = None,
    ) -> RegistrySettings:
        """The settings of this user on this machine. `target` is the registry that will be pushed to."""
        env = os.environ if environ is None else environ
        return cls(
            insecure=frozenset(registry_name(name) for name in insecure),
            logins=tuple(logins),
            variable_login=_variable_login(env),
            target=registry_name(target) if target else None,
            aad_token=env.get("FNPACK_REGISTRY_AAD_TOKEN") or None,
            auth_files=_auth_files(env),
            auth_text=env.get("DOCKER_AUTH_CONFIG") or None,
            proxies=_proxies(env),
            ca_files=tuple(Path(env[name]) for name in _CA_VARIABLES if env.get(name)),
            certificate_folders=_certificate_folders(env),
            cache=cache_folder(env) / "registry",
        )


def _variable_login(env: Mapping[str, str]) -> RegistryLogin | None:
    username, password = env.get("FNPACK_REGISTRY_USERNAME"), env.get("FNPACK_REGISTRY_PASSWORD")
    if not username or not password:
        return None
    from fnpack.spec import RegistryLogin

    return RegistryLogin(env.get("FNPACK_REGISTRY_ADDRESS", ""), username, password)


def _auth_files(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Docker's and podman's files; one that REGISTRY_AUTH_FILE names is the only one of podman's, as for podman."""
    docker = Path(env.get("DOCKER_CONFIG") or home_folder(env) / ".docker") / "config.json"
    if env.get("REGISTRY_AUTH_FILE"):
        return Path(env["REGISTRY_AUTH_FILE"]), docker
    configuration = (
        Path(env.get("XDG_CONFIG_HOME") or home_folder(env) / ".config") / "containers" / "auth.json"
    )
    runtime = env.get("XDG_RUNTIME_DIR")
    running = (Path(runtime) / "containers" / "auth.json",) if runtime else ()
    return docker, *running, configuration


def _proxies(env: Mapping[str, str]) -> Proxies:
    def either(name: str) -> str | None:
        return env.get(name.lower()) or env.get(name) or None

    everything = either("ALL_PROXY")
    # HTTP_PROXY in a CGI process is a header of the caller's; curl and Go do not read it there either.
    plain = env.get("http_proxy") or (None if "REQUEST_METHOD" in env else env.get("HTTP_PROXY"))
    names = (either("NO_PROXY") or "").replace(",", " ").split()
    return Proxies(
        plain or everything, either("HTTPS_PROXY") or everything, tuple(name.lower() for name in names)
    )


def _certificate_folders(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Docker's and podman's `certs.d`, the user's before the machine's."""
    home = Path(env.get("XDG_CONFIG_HOME") or home_folder(env) / ".config")
    own = (home / "docker" / "certs.d", home / "containers" / "certs.d")
    return (*own, Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
