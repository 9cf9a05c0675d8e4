"""The official emulator's Config.json: read with its comments, and every fault told at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.comments import without_comments
from fnpack.devbus.config import parse_config, read_config
from fnpack.devbus.durations import parse_duration_ms
from fnpack.devbus.server import DevBus
from fnpack.errors import ConfigurationError, ConfigurationSyntaxError

FULL = """{
  "UserConfig": { // the emulator's sample has comments
    "Namespaces": [{
      "Name": "sbemulatorns",
      "Queues": [{
        "Name": "queue.1",
        "Properties": {
          "DeadLetteringOnMessageExpiration": true,
          "DefaultMessageTimeToLive": "PT1H",
          "DuplicateDetectionHistoryTimeWindow": "PT20S",
          "ForwardDeadLetteredMessagesTo": "graves",
          "ForwardTo": "",
          "LockDuration": "PT1M",
          "MaxDeliveryCount": 3,
          "RequiresDuplicateDetection": true,
          "RequiresSession": true
        }
      }],
      "Topics": [{
        "Name": "topic.1",
        "Properties": {"DefaultMessageTimeToLive": "PT30M", "RequiresDuplicateDetection": false},
        "Subscriptions": [
          {"Name": "all"},
          {
            "Name": "some",
            "Properties": {"LockDuration": "PT1M", "MaxDeliveryCount": 3},
            "Rules": [
              {"Name": "a", "Properties": {"FilterType": "Correlation",
                "CorrelationFilter": {"Label": "x", "Properties": {"k": "http://v"}}}},
              {"Name": "b", "Properties": {"FilterType": "Sql",
                "SqlFilter": {"SqlExpression": "sys.MessageId = '1' AND u = 'v'"},
                "Action": {"SqlExpression": "SET sys.To = 'Entity'"}}}
            ]
          }
        ]
      }]
    }],
    "Logging": {"Type": "File"}
  }
}"""


def test_the_whole_file_is_read() -> None:
    config = parse_config(FULL, "Config.json")
    queue = config.queues["queue.1"]
    assert (queue.lock_ms, queue.max_deliveries, queue.ttl_ms) == (60_000, 3, 3_600_000)
    assert (queue.duplicate_window_ms, queue.requires_session, queue.dead_letter_expired) == (
        20_000,
        True,
        True,
    )
    assert (queue.forward_to, queue.forward_dead_letters_to) == (None, "graves")
    (topic,) = config.topics
    assert (topic.name, topic.settings.ttl_ms, topic.settings.duplicate_window_ms) == (
        "topic.1",
        1_800_000,
        None,
    )
    every, some = topic.subscriptions
    assert every.rules == ()
    message = (
        Message()
        .with_properties({"subject": "x", "message_id": "1"})
        .with_application({"k": "http://v", "u": "v"})
    )
    assert [rule.matches(message) for rule in some.rules] == [True, True]
    assert [rule.matches(Message()) for rule in some.rules] == [False, False]
    assert some.rules[1].apply(message).value_of("to") == "Entity"


async def test_a_configuration_makes_the_entities() -> None:
    bus = DevBus()
    await bus.start()
    bus.apply(parse_config(FULL, "Config.json"))
    names = {queue.name for queue in bus.broker.namespace.queues()}
    rules = bus.ensure_subscription("topic.1", "some").rules
    await bus.stop()
    assert {"queue.1", "topic.1/Subscriptions/all", "topic.1/Subscriptions/some/$DeadLetterQueue"} <= names
    assert list(rules) == ["a", "b"]


def test_the_repositorys_own_file_is_right() -> None:
    path = Path(__file__).parents[3] / "docker" / "servicebus" / "Config.json"
    config = read_config(path)
    assert config.queues.keys() == {"input", "output", "contract", "contract-output", "contract-sessions"}
    assert config.queues["output"].duplicate_window_ms == 60_000


def queue_with(**properties: Any) -> str:
    queue = {"Name": "q", "Properties": properties}
    return json.dumps({"UserConfig": {"Namespaces": [{"Name": "n", "Queues": [queue]}]}})


@pytest.mark.parametrize(
    ("properties", "key", "what"),
    [
        ({"LockDuration": "PT4S"}, "LockDuration", "from 5 to 300 seconds"),
        ({"LockDuration": "PT6M"}, "LockDuration", "from 5 to 300 seconds"),
        ({"LockDuration": "1 minute"}, "LockDuration", "ISO 8601"),
        ({"LockDuration": 60}, "LockDuration", "ISO 8601"),
        ({"MaxDeliveryCount": 11}, "MaxDeliveryCount", "from 1 to 10"),
        ({"MaxDeliveryCount": True}, "MaxDeliveryCount", "from 1 to 10"),
        ({"DefaultMessageTimeToLive": "P1D"}, "DefaultMessageTimeToLive", "from 1 to 3600 seconds"),
        ({"RequiresSession": "yes"}, "RequiresSession", "`true` or `false`"),
        ({"LockDuratoin": "PT5S"}, "LockDuratoin", "did you mean `LockDuration`"),
    ],
)
def test_a_wrong_property_is_told_with_its_place(properties: dict[str, Any], key: str, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_config(queue_with(**properties), "Config.json")
    (problem,) = str(caught.value).splitlines()
    assert problem.startswith(f"Config.json: UserConfig.Namespaces[0].Queues[0].Properties.{key}: ")
    assert what in problem


def test_all_faults_are_told_at_once() -> None:
    rules = [
        {"Name": "r", "Properties": {"FilterType": "Sql", "SqlFilter": {"SqlExpression": "a = "}}},
        {"Name": "R", "Properties": {"FilterType": "Sql"}},
        {"Name": "s", "Properties": {"FilterType": "Regex"}},
        {"Name": "t", "Properties": {"FilterType": "Correlation"}},
    ]
    topics = [{"Name": "x", "Subscriptions": [{"Name": "s", "Rules": rules}]}, {"Name": "a b"}, {}]
    namespace = {"Name": "n", "Queues": [{"Name": "X"}], "Topics": topics}
    with pytest.raises(ConfigurationError) as caught:
        parse_config(json.dumps({"UserConfig": {"Namespaces": [namespace]}}), "c.json")
    problems = str(caught.value)
    for what in (
        "Rules[0].Properties.SqlFilter.SqlExpression: a property name or a value is missing at character 5",
        "Rules[1].Name: `R` is there twice",
        "`Regex` is no filter type",
        "CorrelationFilter: the filter has no condition",
        "Topics[1].Name: `a b` cannot name an entity",
        "Topics[2].Name: the name is missing",
        "`x` is a queue too",
    ):
        assert what in problems


def test_more_entities_than_the_emulator_has_are_too_many() -> None:
    queues = [{"Name": f"q{number}"} for number in range(51)]
    text = json.dumps({"UserConfig": {"Namespaces": [{"Name": "n", "Queues": queues}]}})
    with pytest.raises(ConfigurationError, match="at most 50"):
        parse_config(text, "c.json")


@pytest.mark.parametrize(
    "text", ["[]", "{", "", '{"UserConfig": {"Namespaces": []}}', '{"UserConfig": []}', "{}"]
)
def test_what_is_no_configuration_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_config(text, "c.json")


def test_a_fault_behind_a_comment_keeps_its_place() -> None:
    with pytest.raises(ConfigurationSyntaxError, match="line 3, column 9"):
        parse_config('{ // "one"\n /* two\n */ "a" 1}', "c.json")


def test_slashes_within_texts_are_no_comments() -> None:
    text = '{"a": "http://x", "b": "\\"//"} // gone'
    assert json.loads(without_comments(text)) == {"a": "http://x", "b": '"//'}


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("PT5S", 5000),
        ("PT1H30M", 5_400_000),
        ("P1DT1S", 86_401_000),
        ("PT0.5S", 500),
        ("P", None),
        ("PT", None),
        ("5", None),
    ],
)
def test_durations_are_iso_8601(text: str, milliseconds: int | None) -> None:
    assert parse_duration_ms(text) == milliseconds
