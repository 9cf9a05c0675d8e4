"""The admin endpoints: `/admin/host/...` and `/admin/functions...`. All but the ping need the master key.

Source: Azure Functions host controllers (host, functions, keys).
"""

from __future__ import annotations

import json
import logging
import time

from fnpack_host.app.function_app import Function, FunctionApp
from fnpack_host.http.asgi import JSON, TEXT, Message, Receive, Send, reply
from fnpack_host.http.body import read_body
from fnpack_host.http.control import HostControl, NotInvocable
from fnpack_host.http.front import given_key
from fnpack_host.http.key_admin import Answer, KeyAdmin
from fnpack_host.http.key_ring import KeyRing
from fnpack_triggers.errors import FnpackError

log = logging.getLogger("fnpack.host.http")

VERSION = "4.0-fnpack"
MAX_BODY_BYTES = 1024 * 1024


class Admin:
    """Answers below `/admin/`. `keys` is None where access is open to all."""

    def __init__(
        self, app: FunctionApp, keys: KeyRing | None, host: HostControl, prefix: str = "api"
    ) -> None:
        self._app, self._keys, self._host, self._prefix = app, keys, host, prefix
        self._key_admin = KeyAdmin(app, keys)
        self._since = time.monotonic()

    async def answer(self, path: str, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        method: str = scope["method"]
        parts = path.rstrip("/").split("/")[2:]
        folded = [part.lower() for part in parts]
        if folded == ["host", "ping"] and method in ("GET", "HEAD", "POST"):
            is_up = self._host.state in ("Running", "Draining")
            await reply(send, 200 if is_up else 503, headers=[(b"cache-control", b"no-store, no-cache")])
        elif self._keys is not None and not await self._keys.allow_admin(given_key(scope)):
            await reply(send, 401)
        else:
            body = await read_body("", receive, MAX_BODY_BYTES)
            base = (
                f"{scope['scheme']}://{dict(scope['headers']).get(b'host', b'localhost').decode('latin-1')}"
            )
            try:
                status, answer = await self._answer(method, parts, bytes(body), base)
            except FnpackError as error:  # the key store, a listener that does not start again
                log.error("%s %s: %s", method, path, error)
                status, answer = 500, {"message": str(error)}
            if answer is None or isinstance(answer, str):
                await reply(send, status, (answer or "").encode(), TEXT if answer else b"")
            else:
                await reply(send, status, json.dumps(answer).encode(), JSON)

    async def _answer(self, method: str, parts: list[str], body: bytes, base: str) -> Answer:
        match [parts[0].lower(), *parts[1:]] if parts else []:
            case ["host", ("keys" | "functionkeys" | "systemkeys") as scope, *name] if len(name) < 2:
                return await self._key_admin.answer(method, scope, "", name, body, base)
            case ["host", what, *more]:
                return await self._host_answer(method, "/".join([what, *more]).lower())
            case ["functions"] if method == "GET":
                return 200, [self._describe(function, base) for function in self._app.functions]
            case ["functions", name, *more]:
                function = self._function(name)
                if function is None:
                    return 404, None
                return await self._function_answer(method, function, more, body, base)
            case ["warmup"] if method in ("GET", "POST"):
                return 200, None
        return 404, None

    async def _host_answer(self, method: str, what: str) -> Answer:
        match method, what:
            case "GET", "status":
                return 200, self._status()
            case "GET", "drain/status":
                is_draining = self._host.state == "Draining"
                state = "Disabled" if not is_draining else "InProgress" if self._host.pending else "Completed"
                return 200, {
                    "state": state,
                    "outstandingInvocations": self._host.pending,
                    "outstandingRetries": 0,
                }
            case "POST", "drain":
                await self._host.drain()
                return 202, None
            case "POST", "resume":
                if self._host.state not in ("Running", "Draining"):
                    return 409, None
                await self._host.resume()
                return 200, {"state": self._host.state}
            case "POST", "restart":
                await self._host.restart()
                return 200, {"state": self._host.state}
            case "POST", "synctriggers":
                return 200, {"status": "success"}
        return 404, None

    async def _function_answer(
        self, method: str, function: Function, more: list[str], body: bytes, base: str
    ) -> Answer:
        match method, [part.lower() for part in more]:
            case "GET", []:
                return 200, self._describe(function, base)
            case "GET", ["status"]:
                error = self._host.errors().get(function.name)
                return 200, {"errors": [error]} if error else {}
            case "POST", []:
                return await self._invoke(function, body)
            case _, ["keys", *_] if len(more) < 3:
                return await self._key_admin.answer(method, "", function.name, more[1:], body, base)
        return 404, None

    async def _invoke(self, function: Function, body: bytes) -> Answer:
        try:
            request = json.loads(body)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            return 400, 'the body must be a JSON object: {"input": "..."}'
        given = next((value for key, value in request.items() if key.lower() == "input"), None)
        text = given if isinstance(given, str) else "" if given is None else json.dumps(given)
        try:
            await self._host.invoke(function, text)
        except NotInvocable as error:
            return 400, str(error)
        return 202, None

    def _function(self, name: str) -> Function | None:
        return next((one for one in self._app.functions if one.name.lower() == name.lower()), None)

    def _status(self) -> dict[str, object]:
        errors = [f"{name}: {error}" for name, error in sorted(self._host.errors().items())]
        bundle = self._app.host_json.text("extensionBundle.id", "")
        version = self._app.host_json.text("extensionBundle.version", "")
        return {
            "id": self._app.host_id,
            "state": self._host.state,
            "version": VERSION,
            "versionDetails": VERSION,
            "processUptime": int((time.monotonic() - self._since) * 1000),
            **({"extensionBundle": {"id": bundle, "version": version}} if bundle else {}),
            "errors": errors,
        }

    def _describe(self, function: Function, base: str) -> dict[str, object]:
        bindings = [
            {"name": b.name, "type": b.type, "direction": b.direction, **dict(b.properties)}
            for b in function.bindings
        ]
        trigger = next((b for b in function.bindings if b.is_trigger), None)
        address = None
        if trigger is not None and trigger.type == "httptrigger":
            parts = (self._prefix.strip("/"), (trigger.text("route") or function.name).strip("~/"))
            address = f"{base}/{'/'.join(part for part in parts if part)}"
        error = self._host.errors().get(function.name)
        return {
            "name": function.name,
            "href": f"{base}/admin/functions/{function.name}",
            "invoke_url_template": address,
            "config": {"bindings": bindings},
            "isDisabled": function.is_disabled,
            "language": "python",
            **({"error": error} if error else {}),
        }
