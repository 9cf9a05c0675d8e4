"""Functions as users write them, through the real host process: batches, sessions, all that a message says."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusMessage

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = """
import json
import azure.functions as func

NAMES = [
    "application_properties", "content_type", "correlation_id", "dead_letter_error_description",
    "dead_letter_reason", "dead_letter_source", "delivery_count", "enqueued_sequence_number", "enqueued_time_utc",
    "expires_at_utc", "expiration_time", "label", "lock_token", "locked_until", "message_id", "partition_key",
    "reply_to", "reply_to_session_id", "scheduled_enqueue_time", "scheduled_enqueue_time_utc", "sequence_number",
    "session_id", "state", "subject", "time_to_live", "to", "transaction_partition_key", "user_properties",
]

def facts(message):
    return {"body": message.get_body().decode("latin-1"), **{name: getattr(message, name) for name in NAMES}}

def text(value):
    return json.dumps(value, default=str)
"""
DECORATED = """
import azure.functions as func
from typing import List
from shared import facts, text

app = func.FunctionApp()

@app.service_bus_queue_trigger(arg_name="message", queue_name="%IN%", connection="B")
@app.service_bus_queue_output(arg_name="$return", queue_name="%OUT%", connection="B")
def single(message: func.ServiceBusMessage) -> str:
    return text(facts(message))

@app.service_bus_queue_trigger(arg_name="messages", queue_name="%BATCHES%", connection="B", cardinality="many")
@app.service_bus_queue_output(arg_name="$return", queue_name="%OUT%", connection="B")
def batch(messages: List[func.ServiceBusMessage]) -> str:
    return text({"batch": [facts(message) for message in messages]})

@app.service_bus_topic_trigger(
    arg_name="message", topic_name="%TOPIC%", subscription_name="s", connection="B", is_sessions_enabled=True
)
@app.service_bus_topic_output(
    arg_name="out", topic_name="%TOPIC%-out", connection="B", sessionId="{SessionId}-{customer}"
)
def session(message: func.ServiceBusMessage, out: func.Out[str]) -> None:
    out.set(f"{message.session_id}:{message.get_body().decode()}")
"""


@pytest.fixture(scope="module")
def names(bus) -> dict[str, str]:
    """The names that the apps read from their settings, of entities that are there."""
    from fnpack.devbus import QueueSettings

    topic = f"t-{uuid4().hex[:8]}"
    with_sessions = QueueSettings(requires_session=True)
    bus.running.ensure_subscription(topic, "s", with_sessions)
    bus.running.ensure_subscription(f"{topic}-out", "s", with_sessions)
    made = {name: bus.queue(60_000) for name in ("IN", "OUT", "BATCHES", "BINARY")}
    return {**made, "TOPIC": topic, "B": bus.running.connection_string}


@pytest.fixture(scope="module")
def decorated(host_of: Callable[..., object], names: dict[str, str]) -> object:
    return host_of({"function_app.py": DECORATED, "shared.py": SHARED}, names)


def message() -> ServiceBusMessage:
    return ServiceBusMessage(
        b'{"x": 1}',
        application_properties={"tenant": "a", "n": 3, "ok": True},
        content_type="application/json",
        correlation_id="c",
        message_id="m",
        partition_key="p",
        reply_to="r",
        reply_to_session_id="rs",
        subject="s",
        time_to_live=timedelta(minutes=50),
        to="t",
    )


def taken(bus, name: str) -> dict[str, object]:
    (answer,) = bus.take(name, 1, wait_s=20)
    found: dict[str, object] = json.loads(b"".join(answer.body))
    return found


def check(facts: dict) -> None:
    properties = {"tenant": "a", "n": 3, "ok": True}
    expected = {
        "body": '{"x": 1}', "application_properties": properties, "user_properties": properties,
        "content_type": "application/json", "correlation_id": "c", "message_id": "m", "partition_key": "p",
        "reply_to": "r", "reply_to_session_id": "rs", "label": "s", "subject": "s", "to": "t",
        "time_to_live": "0:50:00", "delivery_count": 1, "state": 0, "dead_letter_reason": None,
        "dead_letter_source": None, "dead_letter_error_description": None, "session_id": None,
        "scheduled_enqueue_time": None, "scheduled_enqueue_time_utc": None, "transaction_partition_key": None,
    }  # fmt: skip
    assert {name: facts[name] for name in expected} == expected
    assert len(facts) == 29
    for name in ("enqueued_time_utc", "expires_at_utc", "expiration_time", "locked_until"):
        assert facts[name].endswith("+00:00")
    assert facts["sequence_number"] > 0
    assert facts["lock_token"].count("-") == 4


def test_function_reads_all_that_a_message_says(bus, decorated, names) -> None:
    bus.send(names["IN"], message())
    check(taken(bus, names["OUT"]))


def test_function_of_batches_reads_the_same_of_each_message(bus, decorated, names) -> None:
    bus.send(names["BATCHES"], message(), ServiceBusMessage(b"plain text"))
    found: list = []
    while len(found) < 2:  # the first may be there alone when the host takes what there is
        batch = taken(bus, names["OUT"])["batch"]
        assert isinstance(batch, list)
        found += batch
    first, second = sorted(found, key=lambda one: one["body"] == "plain text")
    check(first)
    assert (second["body"], second["user_properties"], second["subject"]) == ("plain text", {}, None)


def test_function_with_sessions_runs_and_its_output_goes_to_the_session_that_is_named(
    bus, decorated, names
) -> None:
    topic = names["TOPIC"]
    bodies = [json.dumps({"customer": "c", "n": number}).encode() for number in range(3)]
    bus.send(topic, *(ServiceBusMessage(body, session_id="one") for body in bodies), topic=True)
    with (
        bus.client() as client,
        client.get_subscription_receiver(f"{topic}-out", "s", session_id="one-c") as link,
    ):
        found: list = []
        while len(found) < 3:
            got = link.receive_messages(3, max_wait_time=20)
            assert got
            found += got
        for one in found:
            link.complete_message(one)
    assert [b"".join(one.body) for one in found] == [b"one:" + body for body in bodies]


BINARY = """
import azure.functions as func
from typing import List

def main(messages: List[func.ServiceBusMessage]) -> None:
    print("bodies", [message.get_body() for message in messages], [message.delivery_count for message in messages])
    print("metadata", messages[0].metadata["MessageIdArray"])
"""


def test_batch_of_a_folder_function_is_bytes_where_data_type_asks_for_them(bus, host_of, names) -> None:
    trigger = {
        "type": "serviceBusTrigger",
        "direction": "in",
        "name": "messages",
        "queueName": "%BINARY%",
        "connection": "B",
        "cardinality": "many",
        "dataType": "binary",
    }
    bus.send(
        names["BINARY"], *(ServiceBusMessage(body, message_id=body[:1].hex()) for body in (b"\xff\x00", b"x"))
    )
    host = host_of({"f/function.json": json.dumps({"bindings": [trigger]}), "f/__init__.py": BINARY}, names)
    host.wait_log(r"bodies [b'\xff\x00', b'x'] [1, 1]")
    host.wait_log("metadata ['ff', '78']")


def test_entry_script_takes_no_batches(bus, scoring_app, start_host) -> None:
    from fnpack.spec import ServiceBusQueueTrigger

    app = scoring_app(
        "def init(): pass\ndef run(data): return 1\n", triggers=[ServiceBusQueueTrigger("in", "out")]
    )
    path = app / "score-queue" / "function.json"
    facts = json.loads(path.read_text())
    facts["bindings"][0]["cardinality"] = "many"
    path.write_text(json.dumps(facts))
    host = start_host(app, settings={"TriggerConnectionString": bus.running.connection_string}, ready=False)
    assert host.process.wait(20) == 3
    assert (
        "asks for batches (`cardinality: many`), but an entry script scores one message at a time" in host.log
    )
