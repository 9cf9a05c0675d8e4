"""Who we are to a registry: the places where logins are kept, in order, and what was found where.

The order is in docs/registries.md. Nothing here is sent anywhere, and no text made here holds a secret.
"""

from __future__ import annotations

import contextlib
import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fnpack.config.image_names import DOCKER_HUB, registry_name
from fnpack.registry.settings import RegistrySettings

_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_TIMEOUT_S = 30.0
_TOKEN_USER = "<token>"  # noqa: S105 - how credential helpers say that the secret is an identity token


class Credential(NamedTuple):
    """A login. With `identity_token` a token server gives tokens for that, else for name and password.

    `source` says in words where it was found. `repr` shows no secret.
    """

    source: str
    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        """Without password and token."""
        return f"Credential(source={self.source!r}, username={self.username!r})"


class Found(NamedTuple):
    """The first login found, and what to tell of the places that were looked at."""

    credential: Credential | None
    tried: tuple[str, ...]


def find(registry: str, repository: str, settings: RegistrySettings) -> Found:
    """The login for `repository` of `registry` that comes first in order; a broken place is told and passed over."""
    tried: list[str] = []
    for found in _places(registry, repository, settings):
        if isinstance(found, Credential):
            return Found(found, (*tried, found.source))
        tried.append(found)
    return Found(None, tuple(tried))


def signature(registry: str, settings: RegistrySettings) -> str:
    """Something that changes when a login may have changed; what it does not hold is a password."""
    parts: list[object] = [
        login.username for login in settings.logins if registry_name(login.address) == registry
    ]
    if settings.variable_login is not None:
        parts.append(settings.variable_login.username)
    for path in settings.auth_files:
        with contextlib.suppress(OSError):
            state = path.stat()
            parts.append((str(path), state.st_mtime_ns, state.st_size, state.st_ino))
    return repr([*parts, bool(settings.auth_text), bool(settings.aad_token)])


def _places(registry: str, repository: str, settings: RegistrySettings) -> Iterator[Credential | str]:
    for login in settings.logins:
        if registry_name(login.address) == registry and login.username and login.password is not None:
            yield Credential(f"the configuration's login `{login.username}`", login.username, login.password)
    variable = settings.variable_login
    if variable is not None and variable.username and variable.password is not None:
        meant = registry_name(variable.address) if variable.address else settings.target
        if meant == registry:
            source = f"FNPACK_REGISTRY_USERNAME `{variable.username}`"
            yield Credential(source, variable.username, variable.password)
    if settings.auth_text:
        yield from _in_json(settings.auth_text, "DOCKER_AUTH_CONFIG", registry, repository)
    for path in settings.auth_files:
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeError) as exc:
            yield f"{path} cannot be read ({getattr(exc, 'strerror', None) or 'not UTF-8'})"
            continue
        yield from _in_json(text, str(path), registry, repository)


def _in_json(text: str, place: str, registry: str, repository: str) -> Iterator[Credential | str]:
    """What a docker or podman configuration holds: a helper for this registry, an entry, a store for all."""
    try:
        content = json.loads(text)
    except ValueError:
        yield f"{place} is not JSON"
        return
    if not isinstance(content, Mapping):
        yield f"{place} is not a JSON object"
        return
    helpers = content.get("credHelpers")
    for key, name in (helpers if isinstance(helpers, Mapping) else {}).items():
        if registry_name(str(key)) == registry and isinstance(name, str):
            yield from _from_helper(name, str(key), place)
            return  # as docker: a helper for a registry is the one place for it
    auths = content.get("auths")
    entry = _entry(auths if isinstance(auths, Mapping) else {}, registry, repository)
    if entry is not None and any(entry.get(key) for key in ("auth", "identitytoken", "username")):
        yield _from_entry(entry, place) or f"{place} has an entry for `{registry}` that cannot be read"
    store = content.get("credsStore")
    if isinstance(store, str) and store:
        address = _HUB_KEY if registry == DOCKER_HUB else registry
        yield from _from_helper(store, address, place)


def _entry(auths: Mapping[object, object], registry: str, repository: str) -> Mapping[str, object] | None:
    """The entry with the longest name that this repository is in; `host/team` is podman's way to narrow a login."""
    best: tuple[int, Mapping[str, object]] | None = None
    for key, entry in auths.items():
        if not isinstance(key, str) or not isinstance(entry, Mapping) or registry_name(key) != registry:
            continue
        path = "" if "://" in key else key.partition("/")[2].strip("/")
        path = "" if path in ("v1", "v2") else path
        if (not path or repository == path or repository.startswith(f"{path}/")) and (
            best is None or len(path) >= best[0]
        ):
            best = len(path), entry
    return best[1] if best else None


def _from_entry(entry: Mapping[str, object], place: str) -> Credential | None:
    username, password = entry.get("username"), entry.get("password")
    auth = entry.get("auth")
    if isinstance(auth, str) and auth:
        try:
            username, _, password = b64decode(auth, validate=True).decode().partition(":")
        except ValueError:
            return None
        password = password.strip("\0")
    token = entry.get("identitytoken")
    user = username if isinstance(username, str) else ""
    if isinstance(token, str) and token:
        return Credential(f"{place}: identity token", user, "", token)
    if user == _TOKEN_USER and isinstance(password, str):
        return Credential(f"{place}: identity token", "", "", password)
    if not user or not isinstance(password, str):
        return None
    return Credential(f"{place}: login `{user}`", user, password)


def _from_helper(name: str, address: str, place: str) -> Iterator[Credential | str]:
    """Ask `docker-credential-NAME get`; docker's protocol."""
    import shutil
    import subprocess

    program = f"docker-credential-{name}"
    where = f"{place}: {program}"
    path = shutil.which(program) if not set("/\\") & set(name) else None
    if path is None:
        yield f"{where} is not on the PATH"
        return
    try:
        done = subprocess.run(
            [path, "get"], input=address.encode(), capture_output=True, timeout=_HELPER_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        yield f"{where} did not answer in {_HELPER_TIMEOUT_S:.0f} s"
        return
    except OSError as exc:
        yield f"{where} cannot be run ({exc.strerror})"
        return
    if done.returncode:
        # What it prints may hold anything, so only the one message that every helper shares is told apart.
        known = b"credentials not found" in done.stdout
        yield f"{where} knows no login for it" if known else f"{where} failed (exit code {done.returncode})"
        return
    try:
        answer = json.loads(done.stdout)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError):
        yield f"{where} answered in a way that cannot be read"
        return
    if not isinstance(username, str) or not isinstance(secret, str) or not secret:
        yield f"{where} knows no login for it"
    elif username == _TOKEN_USER:
        yield Credential(f"{where}: identity token", "", "", secret)
    else:
        yield Credential(f"{where}: login `{username}`", username, secret)
