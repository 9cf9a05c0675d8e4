from __future__ import annotations

from pathlib import Path

import pytest
from tests.packager.config.completed import build, faults

from fnpack.config.build import complete
from fnpack.config.options import Value
from fnpack.config.project import merge, read_project
from fnpack.spec import (
    BlobTrigger,
    HttpTrigger,
    ServiceBusQueueTrigger,
    ServiceBusTopicTrigger,
)


def test_each_trigger_is_completed_from_its_options(app: Path) -> None:
    found = build(
        app,
        trigger=("http", "blob", "service_bus_queue", "service_bus_topic", "blob"),
        auth_level="anonymous",
        input_path="inbox/{n}.json",
        output_path="out/{n}.json",
        input_queue="q",
        output_queue="r",
        input_topic="t",
        input_subscription="s",
        output_topic="u",
        connection="MyConnection",
    )
    assert found.app.triggers == (
        HttpTrigger("anonymous"),
        BlobTrigger("inbox/{n}.json", "out/{n}.json", "MyConnection"),
        ServiceBusQueueTrigger("q", "r", None, "MyConnection"),
        ServiceBusTopicTrigger("t", "s", "u", None, "MyConnection"),
    )


def test_blob_trigger_has_default_paths_and_connection(app: Path) -> None:
    expected = BlobTrigger("input/{blobname}.json", "output/{blobname}_out.json", "TriggerConnectionString")
    assert build(app, trigger=("blob",)).app.triggers == (expected,)


def test_service_bus_beside_blobs_has_a_connection_of_its_own(app: Path) -> None:
    both = {"trigger": ("blob", "service_bus_queue"), "input_queue": "q", "output_queue": "r"}

    def connections(**options) -> list[str]:
        found = build(app, **{**both, **options}).app.triggers
        return [one.connection for one in found if not isinstance(one, HttpTrigger)]

    assert connections() == ["TriggerConnectionString", "ServiceBusConnection"]
    assert connections(service_bus_connection="Bus") == ["TriggerConnectionString", "Bus"]
    assert connections(connection="Mine") == ["Mine", "Mine"]
    assert connections(trigger=("service_bus_queue",)) == ["TriggerConnectionString"]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("blobb", "did you mean `blob`?"),
        ("HTTP", "did you mean `http`?"),
        ("service-bus-queue", "did you mean `service_bus_queue`?"),
        ("serviceBusTopic", "did you mean `service_bus_topic`?"),
        ("queue", "did you mean `service_bus_queue`?"),
        ("timer", "use `http`, `blob`, `service_bus_queue` or `service_bus_topic`"),
    ],
)
def test_unknown_trigger_gets_a_suggestion(app: Path, name: str, suggestion: str) -> None:
    assert faults(app, trigger=(name,)) == [f"--trigger: there is no trigger `{name}`; {suggestion}"]


@pytest.mark.parametrize(
    ("trigger", "option", "owners", "add"),
    [
        ("http", "input_path", "`blob`", "blob"),
        ("http", "connection", "`blob`, `service_bus_queue` or `service_bus_topic`", "blob"),
        ("blob", "auth_level", "`http`", "http"),
        ("blob", "input_queue", "`service_bus_queue`", "service_bus_queue"),
    ],
)
def test_option_of_another_trigger_is_refused(
    app: Path, trigger: str, option: str, owners: str, add: str
) -> None:
    flag = "--" + option.replace("_", "-")
    values = {"auth_level": "admin", "input_path": "a/{b}"}
    assert faults(app, trigger=(trigger,), **{option: values.get(option, "x")}) == [
        f"{flag}: this is an option of {owners}, but the trigger is `{trigger}`; "
        f"add `--trigger {add}`, or leave it out"
    ]


def test_flag_may_choose_another_trigger_than_the_file_describes(app: Path) -> None:
    (app / "fnpack.toml").write_text(
        'entry_script = "score.py"\ntrigger = "blob"\ninput_path = "in/{blobname}"'
    )
    raw = merge(read_project(app), {}, {"trigger": ("http",)}, cwd=app)
    assert complete(raw).app.triggers == (HttpTrigger(),)


QUEUE: dict[str, Value] = {"trigger": ("service_bus_queue",), "input_queue": "q", "output_queue": "r"}
TOPIC: dict[str, Value] = {
    "trigger": ("service_bus_topic",),
    "input_topic": "t",
    "input_subscription": "s",
    "output_topic": "u",
}
BLOB: dict[str, Value] = {"trigger": ("blob",)}


@pytest.mark.parametrize(
    ("base", "changes", "what"),
    [
        (
            QUEUE,
            {"input_queue": None},
            ["--input-queue: the trigger `service_bus_queue` needs it; give --input-queue"],
        ),
        (
            QUEUE,
            {"output_queue": None},
            ["--output-queue: the trigger `service_bus_queue` needs a place for its"],
        ),
        (
            QUEUE,
            {"output_topic": "t"},
            ["--output-topic: both an output queue and an output topic are given"],
        ),
        (QUEUE, {"output_queue": "Q"}, ["--output-queue: results would go to the queue that they come from"]),
        (QUEUE, {"input_queue": "a b"}, ["--input-queue: this is not the name of a queue"]),
        (QUEUE, {"input_queue": "a" * 261}, ["--input-queue: the name of a queue has 1 to 260 characters"]),
        (QUEUE, {"output_queue": "/r"}, ["--output-queue: this is not the name of a queue"]),
        (
            TOPIC,
            {"input_topic": None, "input_subscription": None},
            ["--input-topic:", "--input-subscription:"],
        ),
        (TOPIC, {"output_topic": None}, ["--output-topic: the trigger `service_bus_topic` needs a place"]),
        (TOPIC, {"output_topic": "T"}, ["--output-topic: results would go to the topic that they come from"]),
        (
            TOPIC,
            {"input_subscription": "a/b"},
            ["--input-subscription: this is not the name of a subscription"],
        ),
        (
            TOPIC,
            {"input_subscription": "a" * 51},
            ["--input-subscription: the name of a subscription has 1 to 50"],
        ),
        (BLOB, {"input_path": "input/{a"}, ["--input-path: `input/{a`: "]),
        (BLOB, {"input_path": "in{x}/{blobname}"}, ["--input-path: `in{x}/{blobname}`: the container part"]),
        (
            BLOB,
            {"input_path": "input/{n}"},
            ["--output-path (default): `output/{blobname}_out.json`: nothing is named"],
        ),
        (BLOB, {"output_path": "output"}, ["--output-path: `output`: "]),
        (BLOB, {"output_path": "output/{blobnam}"}, ["did you mean `blobname`?"]),
        (
            BLOB,
            {"output_path": "input/{blobname}_o.json"},
            ["and be scored again, without end; write the results to"],
        ),
        (
            {},
            {"auth_level": "anonymos"},
            ["--auth-level: there is no authorization level `anonymos`; did you mean"],
        ),
        ({}, {"auth_level": "key"}, ["use `anonymous`, `function` or `admin`"]),
    ],
)
def test_impossible_trigger_is_refused(
    app: Path, base: dict[str, Value], changes: dict[str, Value], what: list[str]
) -> None:
    found = faults(app, **{**base, **changes})
    assert len(found) == len(what)
    for line, start in zip(found, what, strict=True):
        assert start in line


@pytest.mark.parametrize("name", ["a", "orders/in.v1_x-y", "%QUEUE%", "in-%STAGE%", "a" * 260])
def test_name_of_a_queue_may_hold_what_service_bus_allows_and_settings(app: Path, name: str) -> None:
    (trigger,) = build(app, **{**QUEUE, "input_queue": name}).app.triggers
    assert trigger == ServiceBusQueueTrigger(name, "r")


def test_queue_may_answer_to_a_topic_and_a_topic_to_a_queue(app: Path) -> None:
    (queue,) = build(app, trigger=("service_bus_queue",), input_queue="q", output_topic="u").app.triggers
    assert queue == ServiceBusQueueTrigger("q", None, "u")
    (topic,) = build(
        app, trigger=("service_bus_topic",), input_topic="t", input_subscription="s", output_queue="r"
    ).app.triggers
    assert topic == ServiceBusTopicTrigger("t", "s", None, "r")


def test_settings_in_blob_paths_are_left_to_the_host(app: Path) -> None:
    (trigger,) = build(app, trigger=("blob",), input_path="%IN%/{n}", output_path="%OUT%/{n}").app.triggers
    assert trigger == BlobTrigger("%IN%/{n}", "%OUT%/{n}")


@pytest.mark.parametrize(
    "value",
    [
        "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=hunter2==;EndpointSuffix=core.windows.net",
        "Endpoint=sb://hunter2.servicebus.windows.net/;SharedAccessKeyName=x;SharedAccessKey=y=",
        "UseDevelopmentStorage=true;hunter2",
        "hunter2==",
        "https://hunter2.blob.core.windows.net",
    ],
)
def test_connection_string_in_place_of_a_name_is_refused_and_not_shown(app: Path, value: str) -> None:
    (found,) = faults(app, trigger=("blob",), connection=value)
    assert found.startswith(
        "--connection: this looks like a connection string, but the name of a setting is wanted"
    )
    assert "hunter2" not in found


@pytest.mark.parametrize("value", ["my connection", "1st", "a/b"])
def test_connection_that_is_no_name_is_refused(app: Path, value: str) -> None:
    assert "not the name of a setting" in faults(app, trigger=("blob",), connection=value)[0]


# ---- environment
