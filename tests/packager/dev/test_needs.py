"""What an app's bindings name, and what a person is told to type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fnpack.dev.needs import Entity, needs_of
from fnpack.dev.tips import Tips
from fnpack.dev.wiring import Wired
from fnpack_host.app.function_app import FunctionApp
from fnpack_host.settings import Settings

BUS = {"connection": "Bus"}
SETTINGS = {"BOX": "boxes", "QUEUE": "Orders"}
FUNCTIONS = {
    "web": [{"type": "httpTrigger", "name": "req", "route": "items", "methods": ["get"]}],
    "thumbs": [
        {"type": "blobTrigger", "name": "b", "path": "%BOX%/in/{name}.png", "connection": "Store"},
        {"type": "blob", "name": "o", "direction": "out", "path": "thumbs/{name}.jpg", "connection": "Store"},
    ],
    "jobs": [
        {"type": "queueTrigger", "name": "q", "queueName": "%QUEUE%"},
        {"type": "queue", "name": "o", "direction": "out", "queueName": "{id}"},
        {"type": "blob", "name": "p", "direction": "out", "path": "logs/{rand-guid}"},
    ],
    "orders": [
        {
            "type": "serviceBusTrigger",
            "name": "m",
            "queueName": "in",
            "connection": "Bus",
            "isSessionsEnabled": True,
        },
        {"type": "serviceBus", "name": "o", "direction": "out", "topicName": "results", "connection": "Bus"},
    ],
    "results": [
        {
            "type": "serviceBusTrigger",
            "name": "m",
            "topicName": "Results",
            "subscriptionName": "me",
            "connection": "Bus",
        },
        {"type": "serviceBus", "name": "o", "direction": "out", "queueName": "in", "connection": "Bus"},
        {"type": "serviceBus", "name": "p", "direction": "out", "topicName": "unread", "connection": "Bus"},
    ],
    "dead": [
        {"type": "serviceBusTrigger", "name": "m", "queueName": "in/$DeadLetterQueue", "connection": "Bus"}
    ],
    "tick": [{"type": "timerTrigger", "name": "t", "schedule": "0 * * * * *"}],
    "lost": [{"type": "blobTrigger", "name": "b", "path": "%NOWHERE%/{name}", "connection": "Other"}],
}


@pytest.fixture
def app(tmp_path: Path) -> FunctionApp:
    for name, bindings in FUNCTIONS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "function.json").write_text(json.dumps({"bindings": bindings}))
    return FunctionApp.load(tmp_path, Settings(SETTINGS))


def test_entities_are_found_by_the_setting_that_opens_their_service(app: FunctionApp) -> None:
    needs = needs_of(app)
    assert needs.storage == {
        "Store": (Entity("container", "boxes"), Entity("container", "thumbs")),
        "AzureWebJobsStorage": (Entity("storage queue", "orders"), Entity("container", "logs")),
        "Other": (),
    }
    assert set(needs.bus) == {"Bus"}
    assert set(needs.bus["Bus"]) == {
        Entity("queue", "in", has_sessions=True),
        Entity("topic", "results"),
        Entity("subscription", "me", "Results"),
        Entity("topic", "unread"),
        Entity("subscription", "fnpack-dev", "unread"),
    }


def test_disabled_function_needs_nothing(app: FunctionApp) -> None:
    disabled = {f"AzureWebJobs.{name}.Disabled": "true" for name in FUNCTIONS if name != "thumbs"}
    only = FunctionApp.load(app.root, Settings({**SETTINGS, **disabled}))
    assert list(needs_of(only).storage) == ["Store"]
    assert not needs_of(only).bus


def test_commands_for_each_function_can_be_typed_as_they_stand(app: FunctionApp) -> None:
    tips = Tips(
        app, needs_of(app), Wired(external=["Bus"]), "http://localhost:1", "--state kept", Path("my in.json")
    )
    told = {function.name: tips.of(function)[1:] for function in app.functions}
    assert told == {
        "web": ["    curl http://localhost:1/api/items"],
        "thumbs": [
            "    fnpack send blob:boxes/in/sample.png --file 'my in.json' --state kept",
            "    fnpack peek blob:thumbs/sample.jpg --state kept",
        ],
        "jobs": [
            "    fnpack send storage-queue:orders --file 'my in.json' --state kept",
            "    fnpack peek blob:logs --state kept",
        ],
        "orders": [
            "    fnpack send queue:in --file 'my in.json' --session one --connection Bus --state kept",
            "    fnpack peek queue:in --dead-letter --connection Bus --state kept  # what failed for good",
            "    fnpack receive topic:results/me --connection Bus --state kept",
        ],
        "results": [
            "    fnpack send topic:Results --file 'my in.json' --connection Bus --state kept",
            "    fnpack peek topic:Results/me --dead-letter --connection Bus --state kept  # what failed for good",
            "    fnpack receive queue:in --connection Bus --state kept",
            "    fnpack receive topic:unread/fnpack-dev --connection Bus --state kept",
        ],
        "dead": [
            "    fnpack send queue:in --file 'my in.json' --connection Bus --state kept",
            "    fnpack peek queue:in --dead-letter --connection Bus --state kept  # what failed for good",
        ],
        "tick": [
            "    curl http://localhost:1/admin/functions/tick -H 'content-type: application/json' -d '{}'"
        ],
        "lost": [],
    }
