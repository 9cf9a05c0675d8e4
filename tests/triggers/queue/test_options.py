"""host.json `extensions.queues` as the queue trigger reads it, through the real reader."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from fnpack_host.app.host_json import HostJson
from fnpack_host.errors import HostJsonError
from fnpack_triggers.base import Binding, Json
from fnpack_triggers.errors import BindingError
from fnpack_triggers.queue.factory import create_listener, read_options
from fnpack_triggers.queue.options import QueueOptions
from fnpack_triggers.registry import TriggerSite


def site(settings: Mapping[str, str] | None = None, **queues: Json) -> TriggerSite:
    values = HostJson({"version": "2.0", "extensions": {"queues": queues}})
    return TriggerSite("f", "id", settings or {}, values.integer, values.seconds, values.text)


def test_defaults_are_azures() -> None:
    threshold = 8 * (os.cpu_count() or 1)
    assert read_options(site()) == QueueOptions(16, threshold, 60.0, 0.0, 5, True, 600.0)


def test_development_polls_every_two_seconds_at_least() -> None:
    options = read_options(site({"AZURE_FUNCTIONS_ENVIRONMENT": "Development"}))
    assert options.max_polling_interval_s == 2


def test_every_key_is_read() -> None:
    given = site(
        {"FNPACK_QUEUE_LOCK_SECONDS": "30"},
        batchSize=32,
        newBatchThreshold=3,
        maxPollingInterval="00:00:02",
        visibilityTimeout="00:00:30",
        maxDequeueCount=7,
        messageEncoding="None",
    )
    assert read_options(given) == QueueOptions(32, 3, 2.0, 30.0, 7, False, 30.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batchSize", 33),
        ("batchSize", 0),
        ("newBatchThreshold", -1),
        ("maxPollingInterval", "00:00:00"),
        ("maxPollingInterval", 5),
        ("visibilityTimeout", "8.00:00:00"),
        ("maxDequeueCount", 0),
        ("messageEncoding", "utf8"),
    ],
)
def test_a_value_out_of_range_is_an_error_that_names_the_key(key: str, value: Json) -> None:
    with pytest.raises((BindingError, HostJsonError), match=key):
        read_options(site(None, **{key: value}))


def test_a_lock_time_that_is_no_number_is_an_error() -> None:
    with pytest.raises(BindingError, match="FNPACK_QUEUE_LOCK_SECONDS"):
        read_options(site({"FNPACK_QUEUE_LOCK_SECONDS": "soon"}))


def test_a_trigger_needs_a_queue_name() -> None:
    with pytest.raises(BindingError, match="queueName"):
        create_listener(Binding("msg", "queuetrigger", "in", {}), site())


def test_a_message_just_received_is_kept_for_a_minute_at_most() -> None:
    assert [QueueOptions(hold_s=hold_s).first_hold_s for hold_s in (5.0, 600.0)] == [5.0, 60.0]
