"""Ways to a real AMQP broker: tokens of an identity, web sockets, and a proxy that they go through.

The library speaks plain TCP and `ws:` to a development service only when it is told so; what Azure's host name adds
over that is TLS.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import WSMsgType, web
from azure.servicebus.aio import ServiceBusClient

from fnpack_triggers.base import Binding
from fnpack_triggers.errors import ConnectionSettingError
from fnpack_triggers.service_bus import link
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import Entity
from fnpack_triggers.service_bus.listener import ServiceBusTrigger
from fnpack_triggers.service_bus.options import BusOptions, Proxy
from fnpack_triggers.service_bus.output import ServiceBusOutput

HEADER = "header-of-the-identity-endpoint"
SERVICE_BUS = "https://servicebus.azure.net"


@dataclass
class Directory:
    """What gives tokens to a managed identity, as in App Service."""

    token: str = "token-of-the-identity"
    status: int = 200
    asked: list[dict[str, list[str]]] = field(default_factory=list)


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Directory]:
    facts = Directory()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            facts.asked.append(query)
            is_right = self.headers["X-IDENTITY-HEADER"] == HEADER and facts.status == 200
            body = {
                "access_token": facts.token,
                "expires_on": str(int(time.time()) + 3600),
                "token_type": "Bearer",
                "resource": query["resource"][0],
            }
            content = json.dumps(body if is_right else {"message": "No identity found"}).encode()
            self.send_response(200 if is_right else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", HEADER)
    yield facts
    server.shutdown()
    server.server_close()


@pytest.fixture
def identity(bus, monkeypatch: pytest.MonkeyPatch) -> BusConnection:
    """The bus as a namespace that is opened with a managed identity."""
    monkeypatch.setattr(link, "ServiceBusClient", functools.partial(ServiceBusClient, use_tls=False))
    host = f"127.0.0.1:{bus.running.port}"
    return BusConnection.find(
        {"B__fullyQualifiedNamespace": host, "B__credential": "managedidentity", "B__clientId": "1-2"}, "B"
    )


@pytest.fixture
def only_token(bus, directory: Directory) -> Iterator[Callable[[str], None]]:
    def allow(token: str) -> None:
        bus.running.call(lambda service: setattr(service.faults, "only_token", token))

    yield allow
    allow("")


async def test_trigger_and_output_sign_in_with_a_managed_identity(
    bus, identity, directory, only_token, function_of, wait_for
) -> None:
    source, target = bus.queue(), bus.queue()
    bus.send(source, b"x")
    only_token(directory.token)
    function = function_of()
    trigger = ServiceBusTrigger("f", Entity(source), identity)
    await trigger.start(function)
    output = ServiceBusOutput(
        "f", Binding("out", "servicebus", "out", {"queuename": target}), identity, BusOptions()
    )
    await wait_for(lambda: function.finished)
    await output.write(b"y", {}, content_type="text/plain")
    await asyncio.gather(trigger.stop(), output.close())
    only_token("")
    assert [b"".join(one.body) for one in bus.take(target, 1)] == [b"y"]
    (asked,) = directory.asked  # one token for both
    assert (asked["resource"][0].rstrip("/"), asked["client_id"]) == (SERVICE_BUS, ["1-2"])


async def test_token_that_the_namespace_refuses_says_which_connection(
    bus, identity, directory, only_token
) -> None:
    only_token("of somebody else")
    with pytest.raises(ConnectionSettingError, match="connection setting `B` does not work") as caught:
        await ServiceBusTrigger("f", Entity(bus.queue()), identity).start(lambda _: asyncio.sleep(0))
    assert "Azure Service Bus Data Receiver" in str(caught.value.hint)
    assert directory.token not in f"{caught.value} {caught.value.hint}"


async def test_missing_identity_says_which_connection(bus, identity, directory) -> None:
    directory.status = 400
    with pytest.raises(ConnectionSettingError, match="`B` cannot sign in as managed identity 1-2"):
        await ServiceBusTrigger("f", Entity(bus.queue()), identity).start(lambda _: asyncio.sleep(0))


# --- web sockets ---


@pytest.fixture
async def web_sockets(bus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """The bus behind web sockets, on a port of its own: gives the connection string, and the paths asked for.

    The library knows one port for them, 443.
    """
    seen: list[str] = []

    async def bridge(request: web.Request) -> web.WebSocketResponse:
        seen.append(request.path)
        answer = web.WebSocketResponse(protocols=["AMQPWSB10"])
        await answer.prepare(request)
        reader, writer = await asyncio.open_connection("127.0.0.1", bus.running.port)

        async def back() -> None:
            while data := await reader.read(65536):
                await answer.send_bytes(data)
            await answer.close()

        towards_client = asyncio.ensure_future(back())
        async for message in answer:
            if message.type is WSMsgType.BINARY:
                writer.write(message.data)
        writer.close()
        towards_client.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await towards_client
        return answer

    app = web.Application()
    app.router.add_get("/{path:.*}", bridge)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    monkeypatch.setattr("azure.servicebus._pyamqp.aio._connection_async.WEBSOCKET_PORT", port)
    seen.append(bus.running.connection_string.replace(f":{bus.running.port}", f":{port}"))
    yield seen
    await runner.cleanup()


@pytest.fixture
async def proxy(web_sockets) -> AsyncIterator[tuple[Proxy, list[str]]]:
    """A proxy on the way to the web sockets, and the heads of the requests that it passed on."""
    heads: list[str] = []
    target = int(BusConnection.parse("B", web_sockets[0]).namespace.rpartition(":")[2])
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head.decode())
        back, forth = await asyncio.open_connection("127.0.0.1", target)
        forth.write(head)
        for source, sink in ((back, writer), (reader, forth)):
            tasks.add(asyncio.create_task(pass_on(source, sink)))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield Proxy("http://127.0.0.1", port, "me", "p@ss"), heads
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library asks aiohttp in ways of old
@pytest.mark.parametrize("is_proxied", [False, True])
async def test_messages_come_and_go_over_web_sockets(
    bus, web_sockets, proxy, function_of, wait_for, is_proxied
) -> None:
    connection, (through, heads) = BusConnection.parse("B", web_sockets.pop(0)), proxy
    source, target = bus.queue(), bus.queue()
    bus.send(source, *(b"%d" % number for number in range(20)))
    function = function_of()
    options = BusOptions(is_web_sockets=True, proxy=through if is_proxied else None)
    trigger = ServiceBusTrigger("f", Entity(source), connection, options)
    await trigger.start(function)
    await wait_for(lambda: len(function.finished) == 20)
    binding = Binding("out", "servicebus", "out", {"queuename": target})
    output = ServiceBusOutput("f", binding, connection, options)
    await output.write(b"y", {}, content_type="text/plain")
    await asyncio.gather(trigger.stop(), output.close())
    assert await asyncio.to_thread(bus.left, source) == 0
    assert await asyncio.to_thread(bus.left, target) == 1
    assert set(web_sockets) == {"/$servicebus/websocket"}
    assert len(heads) == 2 * is_proxied
    assert all("Proxy-Authorization: Basic bWU6cEBzcw==" in head for head in heads)
