"""`/runtime/webhooks/{extension}`: what services call, with the system key `<extension>_extension`.

`blobs` takes Event Grid's events for blob triggers with `source: EventGrid`: its validation handshake, and one event
after the other to the function's sink. Source: Azure Functions, Event Grid blob trigger and webhook provider.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from fnpack_host.http.asgi import JSON, TEXT, Message, Receive, Send, reply
from fnpack_host.http.body import read_body
from fnpack_host.http.front import given_key
from fnpack_host.http.key_ring import KeyRing
from fnpack_host.http.request import query_of
from fnpack_triggers.base import BlobEvent, EventGridSink
from fnpack_triggers.errors import FnpackError

log = logging.getLogger("fnpack.host.http")

BLOBS = "blobs"
BLOBS_KEY = "blobs_extension"
PREFIX = "Host.Functions."
MAX_BODY_BYTES = 4 * 1024 * 1024  # Event Grid sends at most 1 MB
BLOB_EVENTS = ("microsoft.storage.blobcreated", "")


class BadEvents(ValueError):  # noqa: N818 - names what is wrong
    """The body holds no events that can be read."""


class Webhooks:
    """Answers below `/runtime/webhooks/`. `keys` is None where access is open to all.

    `sinks` gives the blob triggers that want events, by function name.
    """

    def __init__(self, keys: KeyRing | None, sinks: Callable[[], Mapping[str, EventGridSink]]) -> None:
        self._keys, self._sinks = keys, sinks

    async def answer(self, path: str, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        extension = path.split("/")[3].lower()
        if self._keys is not None and not self._keys.keys.allow_system(
            f"{extension}_extension", given_key(scope)
        ):
            await reply(send, 401)
        elif extension != BLOBS or not self._sinks():
            await reply(send, 404)
        elif scope["method"] == "OPTIONS":  # the handshake of the CloudEvents schema
            await reply(send, 200, headers=[(b"webhook-allowed-origin", b"eventgrid.azure.net")])
        elif scope["method"] != "POST":
            await reply(send, 405)
        else:
            await self._blobs(scope, receive, send)

    async def _blobs(self, scope: Message, receive: Receive, send: Send) -> None:
        query = {name.lower(): value for name, value in query_of(scope["query_string"]).items()}
        name = query.get("functionname", "")
        wanted = name.removeprefix(PREFIX).lower()
        sink = next((sink for known, sink in self._sinks().items() if known.lower() == wanted), None)
        body = bytes(await read_body("", receive, MAX_BODY_BYTES))
        if sink is None:
            await reply(send, 404, f"cannot find function: '{name}'".encode(), TEXT)
            return
        kind = dict(scope["headers"]).get(b"aeg-event-type", b"").decode("latin-1").lower()
        try:
            if kind == "subscriptionvalidation":
                answer = json.dumps({"validationResponse": validation_code(body)}).encode()
                await reply(send, 200, answer, JSON)
                return
            events = blob_events(body) if kind in ("notification", "") else []
        except BadEvents as error:
            await reply(send, 400, str(error).encode(), TEXT)
            return
        try:
            for event in events:
                await sink.take(event)
        except FnpackError as error:  # Event Grid sends the events again
            log.error(
                "function %s: an Event Grid event could not be kept: %s", name.removeprefix(PREFIX), error
            )
            await reply(send, 503)
        else:
            await reply(send, 202)


def validation_code(body: bytes) -> str:
    """The code that Event Grid wants back before it sends events. Raises BadEvents."""
    for event in _events(body):
        data = event.get("data")
        code = data.get("validationCode") if isinstance(data, dict) else None
        if isinstance(code, str):
            return code
    raise BadEvents("the body holds no validationCode")


def blob_events(body: bytes) -> list[BlobEvent]:
    """The blobs that were written, in the Event Grid schema or as CloudEvents. Raises BadEvents."""
    found = []
    for event in _events(body):
        kind = str(event.get("eventType") or event.get("type") or "").lower()
        if kind not in BLOB_EVENTS:
            continue
        data = event.get("data")
        url = data.get("url") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(url, str):
            raise BadEvents("an event has no data.url")
        container, name = _place(url, str(event.get("subject") or ""))
        found.append(
            BlobEvent(
                container, name, str(data.get("eTag") or ""), str(data.get("blobType") or "BlockBlob"), url
            )
        )
    return found


def _place(url: str, subject: str) -> tuple[str, str]:
    """Container and name of a blob; the subject has them whatever the form of the account's address."""
    _, marker, rest = subject.partition("/containers/")
    container, blobs, name = rest.partition("/blobs/")
    if marker and blobs and container and name:
        return container, name
    container, _, name = unquote(urlsplit(url).path).lstrip("/").partition("/")
    if not container or not name:
        raise BadEvents("data.url names no blob")
    return container, name


def _events(body: bytes) -> list[dict[str, object]]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadEvents("the body is not JSON") from error
    events = content if isinstance(content, list) else [content]
    if not all(isinstance(event, dict) for event in events):
        raise BadEvents("the body must be an event or a list of events")
    return events
