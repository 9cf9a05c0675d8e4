"""The script that makes the contract's entities on Azure, on a server that takes what the real client sends there."""

from __future__ import annotations

import runpy
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

import pytest
from azure.servicebus.management import ServiceBusAdministrationClient

SCRIPT = Path(__file__).parents[3] / "scripts" / "service_bus_entities.py"
ATOM = "{http://www.w3.org/2005/Atom}"
MODEL = "{http://schemas.microsoft.com/netservices/2010/10/servicebus/connect}"


class Namespace:
    """What was put and deleted, by path. `taken` answers with 409 for what is there already."""

    def __init__(self) -> None:
        self.entities: dict[str, ElementTree.Element] = {}
        self.deleted: list[str] = []
        self.port = 0


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    facts = Namespace()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            path = self.path.partition("?")[0].strip("/")
            if path in facts.entities:
                self.reply(409, b"<Error><Code>409</Code><Detail>it exists</Detail></Error>")
                return
            facts.entities[path] = ElementTree.fromstring(body)
            self.reply(201, body)

        def do_DELETE(self) -> None:
            facts.deleted.append(self.path.partition("?")[0].strip("/"))
            self.reply(200, b"")

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/atom+xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    facts.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield facts
    server.shutdown()
    server.server_close()


def text(entity: ElementTree.Element, name: str) -> str | None:
    """A property in what was put."""
    return next((one.text for one in entity.iter(f"{MODEL}{name}")), None)


@pytest.mark.filterwarnings(
    "ignore:Testing an element's truth value:DeprecationWarning"
)  # the admin client does
def test_script_makes_every_entity_with_its_properties_and_rules_and_takes_them_away(
    namespace: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    apply = runpy.run_path(str(SCRIPT))["apply"]
    connection_string = (
        f"Endpoint=sb://127.0.0.1:{namespace.port};SharedAccessKeyName=n;SharedAccessKey=aw==;"
        "UseDevelopmentEmulator=true;"
    )
    with ServiceBusAdministrationClient.from_connection_string(connection_string) as client:
        # the client knows https alone
        client._impl._client._base_url = f"http://127.0.0.1:{namespace.port}"
        apply(client)
        apply(client)
        apply(client, delete=True)
    sessions = namespace.entities["contract-sessions"]
    assert (text(sessions, "LockDuration"), text(sessions, "RequiresSession")) == ("PT5S", "true")
    assert text(sessions, "MaxDeliveryCount") == "3"
    rules = {path: one for path, one in namespace.entities.items() if "/rules/" in path}
    blue, large = (rules[path] for path in sorted(rules))
    assert (text(blue, "Label"), text(blue, "Value")) == ("paint", "blue")
    assert text(large, "SqlExpression") == "size > 10 AND colour IN ('red', 'blue')"
    assert "contract-topic/subscriptions/blue/rules/%24Default" in namespace.deleted
    assert {"contract", "contract-topic"} <= set(namespace.deleted)
    printed = capsys.readouterr().out
    assert "queue contract: made" in printed
    assert "queue contract: there already" in printed
    assert "topic contract-topic: deleted" in printed
