"""Logins for package servers, from where pip and uv look: the address, netrc, keyring. None is written or shown."""

from __future__ import annotations

import base64
import json
import netrc
import shutil
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from fnpack.dependencies.index import PackageIndex, without_login

_KEYRING_TIMEOUT_S = 60  # a person may have to unlock it


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password; `repr` shows neither."""

    username: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Credentials:
    """The logins that one build may need. The keyring is asked only when a server refuses, and once for each host."""

    def __init__(self, index: PackageIndex) -> None:
        self._addresses = [url for url in (index.index_url, *index.extra_index_urls) if url]
        self._netrc = index.netrc_file
        self._asked: dict[str, Login | None] = {}
        self._lock = threading.Lock()

    def known(self, url: str) -> Login | None:
        """The login for a server as far as settings and netrc say."""
        return self._from_addresses(url) or self._from_netrc(urlsplit(url).hostname or "")

    def from_keyring(self, url: str) -> Login | None:
        """The login that the user's keyring has for the server."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        with self._lock:
            if host not in self._asked:
                users = [login for address in self._addresses if (login := self._user(address, host))]
                services = [a for a in map(without_login, self._addresses) if urlsplit(a).netloc == host]
                self._asked[host] = _ask_keyring([*services, host], next(iter(users), None))
            return self._asked[host]

    def _from_addresses(self, url: str) -> Login | None:
        host = urlsplit(url).netloc.rpartition("@")[2]
        for address in (url, *self._addresses):
            parts = urlsplit(address)
            if parts.password is not None and parts.netloc.rpartition("@")[2] == host:
                return Login(unquote(parts.username or ""), unquote(parts.password))
        return None

    def _from_netrc(self, host: str) -> Login | None:
        if self._netrc is None:
            return None
        try:
            entry = netrc.netrc(self._netrc).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            return None
        return Login(entry[0] or entry[1] or "", entry[2] or "") if entry else None

    @staticmethod
    def _user(address: str, host: str) -> str | None:
        parts = urlsplit(address)
        return unquote(parts.username) if parts.username and parts.netloc.endswith(f"@{host}") else None


def with_keyring(index: PackageIndex) -> PackageIndex | None:
    """The settings with logins from the keyring in the addresses that lack one; None if it has none."""
    credentials = Credentials(index)

    def complete(url: str) -> str:
        login = None if credentials.known(url) else credentials.from_keyring(url)
        return with_login(url, login) if login else url

    found = index._replace(
        index_url=complete(index.index_url) if index.index_url else None,
        extra_index_urls=tuple(map(complete, index.extra_index_urls)),
    )
    return None if found == index else found


def with_login(url: str, login: Login) -> str:
    """The address with user name and password in it."""
    parts = urlsplit(without_login(url))
    user = f"{quote(login.username, safe='')}:{quote(login.password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc}"))


def _ask_keyring(services: Iterable[str], username: str | None) -> Login | None:
    """Ask as pip does, for the index's address first, for its host next; by module if it is there, else by command."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        command = shutil.which("keyring")
        answers = (_keyring_command(command, service, username) for service in services) if command else ()
        return next((login for login in answers if login), None)
    for service in services:
        try:
            found = keyring.get_credential(service, username)
        except (KeyringError, RuntimeError, OSError):  # locked, or no backend
            return None
        if found is not None and found.password is not None:
            return Login(found.username or username or "", found.password)
    return None


def _keyring_command(command: str, service: str, username: str | None) -> Login | None:
    if username is not None:
        password = _output([command, "get", service, username])
        return Login(username, password) if password else None
    answer = _output([command, "--mode", "creds", "--output", "json", "get", service])
    try:
        found = json.loads(answer) if answer else {}
        return Login(found["username"], found["password"])
    except (ValueError, KeyError, TypeError):
        return None


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_KEYRING_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip("\r\n") if done.returncode == 0 else None
