"""The keys that a running host accepts: read at the start, read again now and then, changed by the admin endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Iterable, Mapping

from fnpack_host.http.key_stores import NO_STORE_HINT, KeyStoreError
from fnpack_host.http.keys import (
    HOST,
    MASTER,
    Change,
    Document,
    Keys,
    KeyStore,
    load_keys,
    new_document,
    new_key,
    readable,
)
from fnpack_triggers.base import Json
from fnpack_triggers.errors import FnpackError

log = logging.getLogger("fnpack.host.http")

REFRESH_S = 40.0  # so that a key changed by another host counts here within a minute
HOST_SCOPES = {"keys": "functionKeys", "functionkeys": "functionKeys", "systemkeys": "systemKeys"}


class KeyRing:
    """The accepted keys of an app in `store`; without a store no key is ever accepted.

    `functions` are those that ask for a key, `system` the names of the system keys that must exist.
    """

    def __init__(
        self, store: KeyStore | None, functions: Iterable[str] = (), system: Iterable[str] = ()
    ) -> None:
        self._store = store
        self._functions, self._system = tuple(functions), tuple(system)
        self._task: asyncio.Task[None] | None = None
        self._is_loaded = False
        self.keys = Keys()

    async def load(self) -> None:
        """Read the keys, creating missing ones, and keep reading them from now on. Raises FnpackError."""
        if self._store is None or self._is_loaded:
            return
        self.keys = await load_keys(self._store, self._functions, self._system)
        self._is_loaded = True
        self._task = asyncio.ensure_future(self._refresh())

    async def allow_admin(self, given: str) -> bool:
        """Whether `given` is the master key; reads the keys first where no function needed them at the start."""
        if not given:
            return False
        try:
            await self.load()
        except FnpackError as error:
            log.warning("no key can be checked: %s", error)
        return self.keys.allow("admin", "", given)

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def list(self, scope: str, function: str = "") -> dict[str, str]:
        """Key values by name: of a function, else of the host's `keys`, `functionkeys` or `systemkeys`."""
        document = await self._change(function, lambda found: found or new_document(function or HOST))
        return readable(document.get("keys" if function else HOST_SCOPES[scope]))

    async def master(self) -> str:
        """The master key."""
        return next(iter(self.keys.master), "")

    async def put(self, name: str, value: str | None, scope: str, function: str = "") -> tuple[str, bool]:
        """Set a key, to a random value where None is given; returns the value and whether the key is new."""
        key = new_key(name, value)
        was_there = False

        def change(found: Document | None) -> Document:
            nonlocal was_there
            document = dict(found or new_document(function or HOST))
            if not function and name.lower() == MASTER:
                was_there = value is not None
                return {**document, "masterKey": {**key, "name": "master"}}
            field = "keys" if function else HOST_SCOPES[scope]
            others = _without(document.get(field), name)
            was_there = len(others) < len(_as_list(document.get(field)))
            return {**document, field: [*others, key]}

        await self._change(function, change)
        return str(key["value"]), not was_there

    async def delete(self, name: str, scope: str, function: str = "") -> bool:
        """Remove a key; says whether there was one."""
        was_there = False

        def change(found: Document | None) -> Document:
            nonlocal was_there
            document = found or new_document(function or HOST)
            field = "keys" if function else HOST_SCOPES[scope]
            others = _without(document.get(field), name)
            was_there = len(others) < len(_as_list(document.get(field)))
            return {**document, field: others} if was_there else document

        await self._change(function, change)
        return was_there

    async def _change(self, function: str, change: Change) -> Mapping[str, Json]:
        if self._store is None:
            raise KeyStoreError("there is no place that holds keys", hint=NO_STORE_HINT)
        await self.load()
        document = await self._store.update(function.lower() or HOST, change)
        self.keys = await load_keys(self._store, self._functions, self._system)
        return document

    async def _refresh(self) -> None:
        failed = False
        while self._store is not None:
            await asyncio.sleep(REFRESH_S * random.uniform(0.8, 1.2))  # noqa: S311 - spreads hosts out
            try:
                self.keys = await load_keys(self._store, self._functions, self._system)
                failed = False
            except FnpackError as error:
                if not failed:
                    log.warning("keys cannot be read again, the known ones stay: %s", error)
                failed = True


def _as_list(keys: Json) -> list[Json]:
    return keys if isinstance(keys, list) else []


def _without(keys: Json, name: str) -> list[Json]:
    return [
        key
        for key in _as_list(keys)
        if not (isinstance(key, dict) and str(key.get("name")).lower() == name.lower())
    ]
