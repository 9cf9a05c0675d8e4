"""Finds where the user's packages come from: pip's and uv's settings, certificates, netrc.

The settings serve three times: as environment for uv, which locks requirements here, for fetching wheels, and as
build secrets for pip in the image. They hold credentials, so they are never printed, and nothing of them is written
into an app directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

_UV_INDEX_VARIABLES = (
    "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX",
)  # fmt: skip
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class PackageIndex(NamedTuple):
    """The package-index settings of one user. `repr` shows none of them, since URLs may hold credentials."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    find_links: tuple[Path, ...] = ()  # local folders that exist
    certificate: Path | None = None
    netrc_file: Path | None = None
    proxy: str | None = None
    timeout_s: int | None = None
    no_index: bool = False
    from_uv: bool = False  # uv reads its own settings; they are not handed to it again

    def __repr__(self) -> str:
        """Nothing of it."""
        return "PackageIndex()"

    @classmethod
    def discover(cls, environ: Mapping[str, str] | None = None) -> PackageIndex:
        """Read uv's settings where there are any, else pip's: environment over files, as each tool does."""
        environ = os.environ if environ is None else environ
        pip = _pip_settings(environ)
        uv = _uv_settings(environ)
        source = pip if uv is None else uv
        links = [_local_path(link) for link in source.get("find-links", ())]
        timeout = _first(pip, "timeout") or _first(pip, "default-timeout") or ""
        index_url = _first(source, "index-url")
        extra = tuple(url for url in source.get("extra-index-url", ()) if _is_remote(url))
        return cls(
            index_url=index_url if index_url and _is_remote(index_url) else None,
            extra_index_urls=extra,
            trusted_hosts=tuple(source.get("trusted-host", ())),
            find_links=tuple(path for path in links if path is not None and path.is_dir()),
            certificate=_certificate(environ, pip),
            netrc_file=_netrc_file(environ),
            proxy=_first(pip, "proxy") or _proxy(environ, (index_url or "", *extra)),
            timeout_s=int(timeout) if timeout.isdecimal() else None,
            no_index=(_first(source, "no-index") or "").lower() in {"1", "true", "yes", "on"},
            from_uv=uv is not None,
        )

    def digest(self) -> str:
        """A hash of where packages come from, without logins: a new password changes no lock."""
        urls = [without_login(url) for url in (self.index_url or "", *self.extra_index_urls)]
        facts = [urls, [path.as_posix() for path in self.find_links], self.no_index]
        return "sha256:" + hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def pip_conf(self) -> bytes | None:
        """A pip.conf for the image build, without paths of this machine; None when pip's defaults do."""
        values: dict[str, str] = {}
        if self.index_url:
            values["index-url"] = self.index_url
        if self.extra_index_urls:
            values["extra-index-url"] = "\n    ".join(self.extra_index_urls)
        if self.trusted_hosts:
            values["trusted-host"] = "\n    ".join(self.trusted_hosts)
        if self.no_index:
            values["no-index"] = "true"
        if self.proxy:
            values["proxy"] = self.proxy
        if self.timeout_s is not None:
            values["timeout"] = str(self.timeout_s)
        if not values:
            return None
        return ("[global]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())).encode()

    def ca_bundle(self) -> bytes | None:
        """The CA certificates to trust, PEM; None for the installer's own."""
        return self.certificate.read_bytes() if self.certificate else None

    def netrc(self) -> bytes | None:
        """The netrc entries of the index hosts, and no others; None when there are none."""
        if self.netrc_file is None:
            return None
        import netrc

        try:
            entries = netrc.netrc(self.netrc_file).hosts
        except (OSError, netrc.NetrcParseError):
            return None
        hosts = {urlsplit(url).hostname for url in (self.index_url or "", *self.extra_index_urls)}
        lines = [
            f"machine {host}\n  login {login}\n  password {password}\n"
            for host, (login, _, password) in entries.items()
            if host in hosts
        ]
        return "".join(lines).encode() or None

    def uv_environment(self) -> dict[str, str]:
        """Variables that give uv the same view as pip has, to lay over the environment it runs in."""
        values: dict[str, str] = {}
        if self.certificate:
            values["SSL_CERT_FILE"] = str(self.certificate)
        if self.proxy:
            values |= {"HTTPS_PROXY": self.proxy, "HTTP_PROXY": self.proxy}
        if self.timeout_s is not None:
            values["UV_HTTP_TIMEOUT"] = str(self.timeout_s)
        if self.from_uv:
            return values
        # pip looks at all indexes alike and takes the best version; uv's default stops at the first that answers.
        values["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        if self.index_url:
            values["UV_DEFAULT_INDEX"] = self.index_url
        if self.extra_index_urls:
            values["UV_INDEX"] = " ".join(self.extra_index_urls)
        if self.trusted_hosts:
            values["UV_INSECURE_HOST"] = " ".join(self.trusted_hosts)
        if self.find_links:
            values["UV_FIND_LINKS"] = ",".join(map(str, self.find_links))
        if self.no_index:
            values["UV_NO_INDEX"] = "1"
        return values


_Settings = dict[str, tuple[str, ...]]  # option name as in pip.conf -> its values


def _first(settings: _Settings, name: str) -> str | None:
    return next(iter(settings.get(name, ())), None)


def _pip_settings(environ: Mapping[str, str]) -> _Settings:
    settings: _Settings = {}
    for path in _pip_files(environ):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        import configparser

        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
        except configparser.Error:
            continue  # pip itself will complain about it, with better words
        for section in ("global", "install"):
            if parser.has_section(section):
                settings |= {
                    key.replace("_", "-"): tuple(value.split()) for key, value in parser.items(section)
                }
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            settings[name[4:].lower().replace("_", "-")] = tuple(value.split())
    return settings


def _pip_files(environ: Mapping[str, str]) -> Iterable[Path]:
    """pip's configuration files, weakest first, as `pip config debug` lists them."""
    explicit = environ.get("PIP_CONFIG_FILE")
    if explicit == os.devnull:
        return
    home = Path(environ.get("HOME") or Path.home())
    if sys.platform == "win32":
        yield Path(environ.get("PROGRAMDATA", "C:/ProgramData")) / "pip/pip.ini"
        yield home / "pip/pip.ini"
        yield Path(environ.get("APPDATA", home)) / "pip/pip.ini"
        yield Path(sys.prefix) / "pip.ini"
    else:
        for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":"):
            yield Path(folder) / "pip/pip.conf"
        yield Path("/etc/pip.conf")
        yield home / ".pip/pip.conf"
        if sys.platform == "darwin":
            yield home / "Library/Application Support/pip/pip.conf"
        yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
        yield Path(sys.prefix) / "pip.conf"
    if explicit:
        yield Path(explicit)


def _uv_settings(environ: Mapping[str, str]) -> _Settings | None:
    """uv's index settings in pip's words, or None when uv has none of its own."""
    if any(environ.get(name) for name in _UV_INDEX_VARIABLES):
        default = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or ""
        extra = (environ.get("UV_INDEX") or environ.get("UV_EXTRA_INDEX_URL") or "").split()
        links = tuple(filter(None, environ.get("UV_FIND_LINKS", "").replace(",", " ").split()))
        return {
            "index-url": (_with_named_login(default, environ),) if default else (),
            "extra-index-url": tuple(_with_named_login(url, environ) for url in extra),
            "find-links": links,
            "no-index": (environ.get("UV_NO_INDEX") or "",),
            "trusted-host": tuple(environ.get("UV_INSECURE_HOST", "").split()),
        }
    home = Path(environ.get("HOME") or Path.home())
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "uv/uv.toml"
    for path in (Path(environ.get("UV_CONFIG_FILE") or user), Path("/etc/uv/uv.toml")):
        settings = _uv_file(path, environ)
        if settings:
            return settings
    return None


def _uv_file(path: Path, environ: Mapping[str, str]) -> _Settings | None:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        data = toml.loads(text)
    except ValueError:
        return None  # uv itself will complain about it, with better words
    data = {**data.get("pip", {}), **data}
    indexes = [entry for entry in data.get("index", []) if isinstance(entry, dict) and "url" in entry]
    urls = [_with_named_login(f"{entry.get('name', '')}={entry['url']}", environ) for entry in indexes]
    default = [url for url, entry in zip(urls, indexes, strict=True) if entry.get("default")]
    default = default or [data.get("index-url", "")]
    extra = [url for url, entry in zip(urls, indexes, strict=True) if not entry.get("default")]
    settings: _Settings = {
        "index-url": tuple(url for url in default if url),
        "extra-index-url": (*extra, *data.get("extra-index-url", ())),
        "find-links": tuple(data.get("find-links", ())),
        "trusted-host": tuple(data.get("allow-insecure-host", ())),
        "no-index": ("1",) if data.get("no-index") is True else (),
    }
    return settings if any(settings.values()) else None


def _with_named_login(index: str, environ: Mapping[str, str]) -> str:
    """An index as uv lets it be written, `name=https://...`, with the login of UV_INDEX_NAME_USERNAME and _PASSWORD."""
    name, mark, url = index.partition("=")
    if not mark or "://" not in url or "://" in name:
        return index
    variable = "UV_INDEX_" + "".join(letter if letter.isalnum() else "_" for letter in name.upper())
    user, password = environ.get(f"{variable}_USERNAME"), environ.get(f"{variable}_PASSWORD")
    if not name or not (user or password):
        return url
    parts = urlsplit(without_login(url))
    login = f"{quote(user or '', safe='')}:{quote(password or '', safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))


def without_login(url: str) -> str:
    """The address without user name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _is_remote(url: str) -> bool:
    return urlsplit(url).scheme in {"http", "https"}


def _local_path(link: str) -> Path | None:
    parts = urlsplit(link)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(link).expanduser().absolute() if parts.scheme not in {"http", "https"} else None


def _certificate(environ: Mapping[str, str], pip: _Settings) -> Path | None:
    for name in (_first(pip, "cert"), *(environ.get(variable) for variable in _CERTIFICATE_VARIABLES)):
        if name and Path(name).is_file():
            return Path(name)
    return None


def _netrc_file(environ: Mapping[str, str]) -> Path | None:
    path = Path(environ.get("NETRC") or Path(environ.get("HOME") or Path.home()) / ".netrc")
    return path if path.is_file() else None


def _proxy(environ: Mapping[str, str], indexes: Iterable[str]) -> str | None:
    """The proxy for the indexes, unless NO_PROXY names every host; "" is pip's default index, never an exception."""
    found = {name.lower(): value for name, value in environ.items() if name.lower().endswith("_proxy")}
    proxy = found.get("https_proxy") or found.get("http_proxy") or found.get("all_proxy")
    exceptions = [
        entry.strip().lstrip(".").lower() for entry in found.get("no_proxy", "").split(",") if entry.strip()
    ]
    hosts = [(urlsplit(url).hostname or "").lower() for url in indexes]
    if all(any(_matches(host, entry) for entry in exceptions) for host in hosts):
        return None
    return proxy


def _matches(host: str, exception: str) -> bool:
    return exception in {"*", host} or host.endswith(f".{exception}")
