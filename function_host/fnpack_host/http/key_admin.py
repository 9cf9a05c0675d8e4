"""Keys over HTTP: list, read, make, set and delete. Source: Azure Functions host, KeysController.

`/admin/host/{keys|functionkeys|systemkeys}[/name]` and `/admin/functions/{function}/keys[/name]`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from fnpack_host.app.function_app import FunctionApp
from fnpack_host.http.key_ring import KeyRing
from fnpack_host.http.keys import MASTER

log = logging.getLogger("fnpack.host.http")

Answer = tuple[int, object]  # the status, and what becomes JSON; a text becomes text, None nothing
MAX_NAME, MAX_VALUE = 127, 4096


class KeyAdmin:
    """Answers for the keys of an app. `keys` is None where access is open to all: there are no keys then."""

    def __init__(self, app: FunctionApp, keys: KeyRing | None) -> None:
        self._app, self._keys = app, keys

    async def answer(  # noqa: PLR0917 - the parts of a request
        self, method: str, scope: str, function: str, names: Sequence[str], body: bytes, base: str
    ) -> Answer:
        """`scope` is that of the host's keys, empty for those of `function`; `names` holds one name or none.

        Raises FnpackError where keys can be neither read nor written.
        """
        if self._keys is None:
            return 404, "keys are not enforced by this host"
        path = f"{base}/admin/" + (f"functions/{function}/keys" if function else f"host/{scope}")
        if not names:
            return await self._list(method, scope, function, path)
        name = names[0]
        if not 0 < len(name) <= MAX_NAME:
            return 400, "Invalid key name."
        match method:
            case "GET":
                found = await self._keys.list(scope, function)
                if scope == "systemkeys":
                    found = {**found, MASTER: await self._keys.master()}
                value = next((value for key, value in found.items() if key.lower() == name.lower()), None)
                return (404, None) if value is None else (200, _key(name, value, path))
            case "POST":
                return await self._put(name, None, scope, function, path)
            case "PUT":
                given = _value(body)
                if given is None:
                    return 400, "Invalid key value"
                return await self._put(name, given, scope, function, path)
            case "DELETE":
                if name.startswith("_"):
                    return 400, "Invalid key name."
                is_gone = await self._keys.delete(name, scope, function)
                if is_gone:
                    log.info("the key `%s` of %s was deleted", name, function or "the host")
                return (204, None) if is_gone else (404, None)
        return 405, None

    async def _list(self, method: str, scope: str, function: str, path: str) -> Answer:
        if method != "GET" or self._keys is None:
            return 405, None
        found = await self._keys.list(scope, function)
        keys = [{"name": name, "value": value} for name, value in found.items()]
        return 200, {"keys": keys, "links": _links(path)}

    async def _put(self, name: str, value: str | None, scope: str, function: str, path: str) -> Answer:
        assert self._keys is not None
        value, is_new = await self._keys.put(name, value, scope, function)
        log.info(
            "the key `%s` of %s was %s", name, function or "the host", "created" if is_new else "changed"
        )
        return 201 if is_new else 200, _key(name, value, path)


def _value(body: bytes) -> str | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    value = next((value for key, value in content.items() if key.lower() == "value"), None)
    return value if isinstance(value, str) and 0 < len(value) <= MAX_VALUE else None


def _key(name: str, value: str, path: str) -> dict[str, object]:
    return {"name": name, "value": value, "links": _links(f"{path}/{name}")}


def _links(path: str) -> list[dict[str, str]]:
    return [{"rel": "self", "href": path}]
