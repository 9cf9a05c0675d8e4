"""Access keys: who may call which function. Keys compare in constant time and appear in no log or error.

Source: Azure Functions host keys (master, host function, system and per-function keys; file and blob layout).
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fnpack_triggers.base import Json

log = logging.getLogger("fnpack.host.http")

HOST = "host"  # the name of the host's own document
MASTER = "_master"
Document = Mapping[str, Json]
Change = Callable[[Document | None], Document]


class KeyStore(Protocol):
    """Where keys live: one document for the host (`host`) and one per function."""

    is_read_only: bool

    async def read(self, name: str) -> Document | None:
        """The document, or None where there is none. Raises FnpackError."""

    async def update(self, name: str, change: Change) -> Document:
        """Put `change(document)` in the document's place and return it; equal documents are not written.

        `change` gets None where there is no document, and may be called again when another host was quicker.
        Raises FnpackError.
        """

    def __str__(self) -> str:
        """Where a person finds the keys."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of an app at one moment; names in lower case."""

    master: tuple[str, ...] = field(default=(), repr=False)
    host: tuple[str, ...] = field(default=(), repr=False)
    functions: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    system: Mapping[str, str] = field(default_factory=dict, repr=False)

    def allow(self, level: str, function: str, given: str) -> bool:
        """Whether `given` opens `level` (function or admin) for `function`."""
        accepted = list(self.master)
        if level == "function":
            accepted += [*self.host, *self.functions.get(function.lower(), ())]
        return _any_equal(given, accepted)

    def allow_system(self, name: str, given: str) -> bool:
        """Whether `given` is the system key `name`, or the master key."""
        return _any_equal(given, [*self.master, self.system.get(name.lower(), "")])


async def load_keys(store: KeyStore, functions: Iterable[str], system: Iterable[str] = ()) -> Keys:
    """Read all keys from `store`, creating what is missing with random keys. Raises FnpackError."""
    names = tuple(system)
    host = await _ensure(
        store, HOST, lambda document: _with_system_keys(document or new_document(HOST), names)
    )
    by_function = {}
    for function in functions:
        document = await _ensure(store, function.lower(), lambda found: found or new_document(""))
        by_function[function.lower()] = tuple(readable(document.get("keys")).values())
    master = readable([host.get("masterKey")])
    system_keys = {name.lower(): value for name, value in readable(host.get("systemKeys")).items()}
    host_keys = tuple(readable(host.get("functionKeys")).values())
    return Keys(tuple(master.values()), host_keys, by_function, system_keys)


async def _ensure(store: KeyStore, name: str, complete: Change) -> Document:
    return await store.read(name) or {} if store.is_read_only else await store.update(name, complete)


def readable(keys: Json) -> dict[str, str]:
    """Values by name. A key that another host encrypted cannot be read here and is left out."""
    found: dict[str, str] = {}
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, dict) or not key.get("value"):
            continue
        if key.get("encrypted") is True:
            log.warning("the key `%s` is encrypted by Azure's host and cannot be used here", key.get("name"))
        else:
            found[str(key.get("name") or "")] = str(key["value"])
    return found


def new_key(name: str, value: str | None = None) -> dict[str, Json]:
    """A key as documents hold it; random where no value is given."""
    random = base64.urlsafe_b64encode(secrets.token_bytes(40)).decode().rstrip("=")
    return {"name": name, "value": random if value is None else value, "encrypted": False}


def new_document(name: str) -> dict[str, Json]:
    """A document with random keys, for the host or for a function."""
    if name == HOST:
        return {
            "masterKey": new_key("master"),
            "functionKeys": [new_key("default")],
            "systemKeys": [],
            "source": "runtime",
        }
    return {"keys": [new_key("default")], "source": "runtime"}


def dump(document: Document) -> bytes:
    """A key document as its file's bytes."""
    return json.dumps(document, indent=2).encode()


def _with_system_keys(document: Document, names: Iterable[str]) -> Document:
    keys = document.get("systemKeys")
    present = list(keys) if isinstance(keys, list) else []
    known = {str(key.get("name")).lower() for key in present if isinstance(key, dict)}
    missing = [new_key(name) for name in names if name.lower() not in known]
    return {**document, "systemKeys": [*present, *missing]} if missing else document


def _any_equal(given: str, accepted: list[str]) -> bool:
    """Compare with every key, whatever the first comparisons say, so that timing tells nothing."""
    matches = [hmac.compare_digest(given.encode(), key.encode()) for key in accepted if key]
    return bool(given) and any(matches)
