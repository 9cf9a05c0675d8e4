"""Queue and timer functions through the real host process and the `azure.functions` library."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator

import pytest
from azure.storage.queue import QueueServiceClient

CHAIN = """
import azure.functions as func

def main(msg: func.QueueMessage, out: func.Out[str]) -> None:
    body = msg.get_body().decode()
    assert msg.dequeue_count == 1 and msg.insertion_time and msg.pop_receipt and msg.id
    if body == "bad":
        raise ValueError(body)
    out.set(body.upper())
"""
TICK = """
import json
import azure.functions as func

def main(timer: func.TimerRequest) -> str:
    return json.dumps(["tick", {"past_due": timer.past_due}])
"""


@pytest.fixture
def queues(azurite) -> Iterator[QueueServiceClient]:
    with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service


def texts(service: QueueServiceClient, queue: str) -> list[str]:
    found = service.get_queue_client(queue).receive_messages(messages_per_page=32, visibility_timeout=600)
    return [base64.b64decode(message.content).decode() for message in found]


def test_queue_and_timer_functions_run_in_the_real_host(
    app_of, start_host, azurite, queues, wait_until
) -> None:
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    trigger = {"type": "queueTrigger", "direction": "in", "name": "msg", "queueName": "%NAME%-in"}
    chained = {"type": "queue", "direction": "out", "name": "out", "queueName": "%NAME%-out"}
    timer = {"type": "timerTrigger", "direction": "in", "name": "timer", "schedule": "* * * * * *"}
    ticks = {"type": "queue", "direction": "out", "name": "$return", "queueName": "%NAME%-ticks"}
    app = app_of(
        {
            "chain/function.json": json.dumps({"bindings": [trigger, chained]}),
            "chain/__init__.py": CHAIN,
            "tick/function.json": json.dumps({"bindings": [timer, ticks]}),
            "tick/__init__.py": TICK,
            "host.json": json.dumps({"version": "2.0", "extensions": {"queues": {"maxDequeueCount": 1}}}),
        }
    )
    incoming = queues.create_queue(f"{name}-in")
    for text in ("grün", '{"a": [1]}', "bad"):
        incoming.send_message(base64.b64encode(text.encode()).decode())
    settings = {"AzureWebJobsStorage": azurite.connection_string, "NAME": name}
    host = start_host(app, settings=settings)
    wait_until(
        lambda: incoming.get_queue_properties().approximate_message_count == 0, what="the queue is empty"
    )
    assert sorted(texts(queues, f"{name}-out")) == ["GRÜN", '{"A": [1]}']
    assert texts(queues, f"{name}-in-poison") == ["bad"]
    wait_until(lambda: "tick" in texts_if_there(queues, f"{name}-ticks"), what="a tick")
    assert host.stop() == 0


def texts_if_there(service: QueueServiceClient, queue: str) -> list[str]:
    known = [one.name for one in service.list_queues(name_starts_with=queue)]
    return texts(service, queue) if known else []
