"""What bindings and host.json say about Service Bus."""

from __future__ import annotations

import pytest

from fnpack_host.app.host_json import HostJson
from fnpack_triggers.base import Binding, Json
from fnpack_triggers.errors import BindingError, ConnectionSettingError
from fnpack_triggers.registry import TriggerSite, create_listener, create_output
from fnpack_triggers.service_bus.factory import read_options
from fnpack_triggers.service_bus.options import BusOptions

TEXT = "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=secret"


def site(section: dict[str, Json] | None = None, **settings: str) -> TriggerSite:
    values = HostJson({"version": "2.0", "extensions": {"serviceBus": section or {}}})
    return TriggerSite("f", "id", settings, values.integer, values.seconds, values.text, flag=values.flag)


def trigger(**properties: Json) -> Binding:
    lowered = {
        key.lower(): value for key, value in {"queueName": "q", "connection": "C", **properties}.items()
    }
    return Binding("msg", "servicebustrigger", "in", lowered)


def test_defaults_are_those_of_azures_host() -> None:
    options = read_options(site())
    assert options == BusOptions()
    assert (options.max_renewal_s, options.is_auto_complete, options.prefetch_count) == (300.0, True, 0)
    assert options.max_concurrent_calls % 16 == 0


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"maxConcurrentCalls": 3, "prefetchCount": 7}, {"max_concurrent_calls": 3, "prefetch_count": 7}),
        ({"messageHandlerOptions": {"maxConcurrentCalls": 4}}, {"max_concurrent_calls": 4}),
        ({"messageHandlerOptions": {"autoComplete": False}}, {"is_auto_complete": False}),
        ({"autoCompleteMessages": "false"}, {"is_auto_complete": False}),
        ({"maxAutoLockRenewalDuration": "00:10:00"}, {"max_renewal_s": 600.0}),
        ({"maxAutoLockRenewalDuration": "-00:00:00.0010000"}, {"max_renewal_s": None}),
        (
            {"clientRetryOptions": {"tryTimeout": "00:00:10", "delay": "00:00:02"}},
            {"try_timeout_s": 10, "delay_s": 2},
        ),
        ({"transportType": "amqpWebSockets"}, {"is_web_sockets": True}),
    ],
)
def test_options_are_read_in_both_spellings(section: dict[str, Json], expected: dict[str, object]) -> None:
    options = read_options(site(section))
    assert {name: getattr(options, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"isSessionsEnabled": True}, "`isSessionsEnabled`, which this version's host cannot run"),
        ({"cardinality": "many"}, "`cardinality: many`, which this version's host cannot run"),
        ({"queueName": ""}, "needs either `queueName` or `topicName`; both are missing"),
        ({"queueName": "", "topicName": "t"}, "`subscriptionName` is missing"),
        ({"autoCompleteMessages": 3}, "`autoCompleteMessages` is 3, but must be true or false"),
    ],
)
def test_binding_that_cannot_run_says_why(properties: dict[str, Json], reason: str) -> None:
    with pytest.raises(BindingError, match=reason):
        create_listener(trigger(**properties), site(C=TEXT))


def test_missing_connection_is_named_and_an_empty_one_has_a_default() -> None:
    with pytest.raises(ConnectionSettingError, match="`C` is not set"):
        create_listener(trigger(), site())
    with pytest.raises(ConnectionSettingError, match="`AzureWebJobsServiceBus` is not set"):
        create_listener(trigger(connection=""), site())


def test_identity_connection_is_said_not_to_work_here() -> None:
    with pytest.raises(ConnectionSettingError, match="given as an identity"):
        create_listener(trigger(), site(C__fullyQualifiedNamespace="x.servicebus.windows.net"))


async def test_names_may_hold_settings() -> None:
    where = site(C=TEXT, NAME="orders")
    binding = Binding("out", "servicebus", "out", {"queuename": "%NAME%-{x}", "connection": "C"})
    output = create_output(binding, trigger(), where)
    assert output.name.render({"x": 1}) == "orders-1"  # type: ignore[attr-defined]
    listener = create_listener(trigger(queueName="%NAME%/$DeadLetterQueue"), where)
    assert listener.entity.path == "orders/$deadletterqueue"  # type: ignore[attr-defined]
