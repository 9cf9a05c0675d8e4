"""The main job for messages through the real host process: score each message once, poison to the dead letters."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

from fnpack.devbus import QueueSettings
from fnpack.spec import ServiceBusQueueTrigger

SCORE = """
import json, os, time
from azureml.contrib.services.aml_request import rawhttp

def init():
    pass

@rawhttp
def run(request):
    data = request.get_data()
    if data == b"poison":
        raise ValueError("poison")
    time.sleep(0.02)
    if data.startswith(b"\\xff"):
        return data[::-1]
    return {"pid": os.getpid(), "answer": json.loads(data)["x"] * 2}
"""


def body(message) -> bytes:
    return b"".join(message.body)


def worker_of(host) -> int:
    """The process id of a worker of the host."""
    children = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text()
    return int(children.split()[0])


def test_messages_are_scored_exactly_once_while_workers_die(bus, scoring_app, start_host, wait_until) -> None:
    source = bus.queue(lock_ms=30_000, max_deliveries=5)
    target = bus.running.ensure_queue(f"{source}-out", QueueSettings(duplicate_window_ms=600_000))
    texts = [json.dumps({"x": number}).encode() for number in range(50)]
    raw = [b"\xff%d" % number for number in range(50)]
    app = scoring_app(SCORE, triggers=[ServiceBusQueueTrigger(source, target)])
    host = start_host(app, settings={"TriggerConnectionString": bus.running.connection_string})
    bus.send(source, *texts, *raw, b"poison")
    for count in (10, 40):
        wait_until(lambda count=count: bus.left(target) >= count, 30)
        os.kill(worker_of(host), signal.SIGKILL)
    wait_until(lambda: bus.left(target) >= 100, 30)
    wait_until(lambda: bus.left(source) == 0, 30)
    found = Counter(body(one) for one in bus.take(target, 101, wait_s=1))
    answers = Counter(json.loads(one)["answer"] for one in found if one.startswith(b"{"))
    assert answers == {number * 2: 1 for number in range(50)}
    assert Counter(dict(found)) == Counter(dict.fromkeys(found, 1))
    assert {one for one in found if not one.startswith(b"{")} == {one[::-1] for one in raw}
    (dead,) = bus.take(source, 1, sub_queue="deadletter")
    assert (body(dead), dead.dead_letter_reason) == (b"poison", "MaxDeliveryCountExceeded")
    assert host.stop() == 0


MAIN = """
import azure.functions as func

def main(msg: func.ServiceBusMessage, out: func.Out[str]) -> None:
    assert msg.delivery_count == 1 and msg.message_id == "m1" and msg.lock_token and msg.sequence_number
    assert msg.enqueued_time_utc.tzinfo is not None and msg.application_properties == {"tenant": "a"}
    assert msg.time_to_live.total_seconds() == 172800 and msg.subject == "s" and msg.state == 0
    out.set(msg.get_body().decode().upper())
"""


def test_function_reads_the_metadata_through_azure_functions(bus, app_of, start_host) -> None:
    from datetime import timedelta

    from azure.servicebus import ServiceBusMessage

    source, target = bus.queue(max_deliveries=1), bus.queue()
    trigger = {
        "type": "serviceBusTrigger",
        "direction": "in",
        "name": "msg",
        "queueName": "%IN%",
        "connection": "B",
    }
    output = {"type": "serviceBus", "direction": "out", "name": "out", "queueName": target, "connection": "B"}
    app = app_of({"f/function.json": json.dumps({"bindings": [trigger, output]}), "f/__init__.py": MAIN})
    start_host(app, settings={"B": bus.running.connection_string, "IN": source})
    properties: dict[str | bytes, object] = {"tenant": "a"}
    bus.send(
        source,
        ServiceBusMessage(
            "hello", message_id="m1", subject="s", application_properties=properties,  # type: ignore[arg-type]
            time_to_live=timedelta(days=2),
        ),
    )  # fmt: skip
    (answer,) = bus.take(target, 1)
    assert (body(answer), answer.content_type) == (b"HELLO", "text/plain")
    assert answer.application_properties[b"$AzureWebJobsParentId"]
