"""What bindings and host.json say about Service Bus."""

from __future__ import annotations

import pytest

from fnpack_host.app.host_json import HostJson
from fnpack_triggers.base import Binding, Json
from fnpack_triggers.errors import BindingError, ConnectionSettingError
from fnpack_triggers.registry import TriggerSite, create_listener, create_output
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.factory import read_options
from fnpack_triggers.service_bus.listener import ServiceBusTrigger
from fnpack_triggers.service_bus.options import BusOptions, Proxy

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
        (
            {"clientRetryOptions": {"maxRetries": 7, "mode": "fixed", "maxDelay": "00:00:09"}},
            {"max_retries": 7, "is_fixed_delay": True, "max_delay_s": 9},
        ),
        ({"transportType": "amqpWebSockets"}, {"is_web_sockets": True}),
        ({"prefetchCount": 100_000}, {"prefetch_count": 50_000}),
        ({"messageHandlerOptions": {"maxAutoRenewDuration": "00:01:00"}}, {"max_renewal_s": 60}),
        ({"sessionHandlerOptions": {"autoComplete": False}}, {"is_auto_complete": True}),  # no sessions here
        ({"batchOptions": {"autoComplete": False}}, {"is_auto_complete": True}),  # no batch here
    ],
)
def test_options_are_read_in_both_spellings(section: dict[str, Json], expected: dict[str, object]) -> None:
    options = read_options(site(section))
    assert {name: getattr(options, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"maxConcurrentSessions": 3, "maxConcurrentCallsPerSession": 2}, (3, 2, 60.0)),
        ({"sessionHandlerOptions": {"maxConcurrentSessions": 4, "messageWaitTime": "00:00:05"}}, (4, 1, 5.0)),
        ({"sessionIdleTimeout": "00:00:07"}, (8, 1, 7.0)),
        ({"clientRetryOptions": {"tryTimeout": "00:00:20"}}, (8, 1, 20.0)),
    ],
)
def test_options_of_sessions(section: dict[str, Json], expected: tuple[int, int, float]) -> None:
    options = read_options(site(section), has_sessions=True)
    assert (options.max_sessions, options.max_calls_per_session, options.idle_s) == expected


def test_sessions_and_batches_have_old_names_of_their_own() -> None:
    old: Json = {"autoComplete": False, "maxAutoRenewDuration": "00:02:00"}
    options = read_options(site({"sessionHandlerOptions": old}), has_sessions=True)
    assert (options.is_auto_complete, options.max_renewal_s) == (False, 120)
    assert not read_options(site({"batchOptions": {"autoComplete": False}}), is_batch=True).is_auto_complete


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({}, (1000, 1, 30.0)),
        (
            {"maxMessageBatchSize": 50, "minMessageBatchSize": 20, "maxBatchWaitTime": "00:00:09"},
            (50, 20, 9.0),
        ),
        ({"batchOptions": {"maxMessageCount": 40, "operationTimeout": "00:00:08"}}, (40, 1, 8.0)),
    ],
)
def test_options_of_batches(section: dict[str, Json], expected: tuple[int, int, float]) -> None:
    options = read_options(site(section), is_batch=True)
    assert (options.max_batch, options.min_batch, options.max_batch_wait_s) == expected


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.local:8888", Proxy("http://proxy.local", 8888)),
        ("proxy.local:8888", Proxy("http://proxy.local", 8888)),
        ("http://me:p%40ss@proxy.local", Proxy("http://proxy.local", 80, "me", "p@ss")),
        ("http://[::1]:3128/", Proxy("http://[::1]", 3128)),
    ],
)
def test_proxy_means_web_sockets(text: str, proxy: Proxy) -> None:
    options = read_options(site({"webProxy": text}))
    assert (options.proxy, options.is_web_sockets) == (proxy, True)
    assert "p@ss" not in repr(options)


@pytest.mark.parametrize("text", ["socks5://x:1", "http://x:port", "http://", "http://x/path"])
def test_proxy_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BindingError, match="webProxy is not the address of an HTTP proxy"):
        read_options(site({"webProxy": text}))


def test_binding_wins_over_host_json() -> None:
    where = site({"maxMessageBatchSize": 5, "autoCompleteMessages": True}, C=TEXT)
    binding = trigger(cardinality="MANY", maxMessageBatchSize=7, autoCompleteMessages=False)
    listener = create_listener(binding, where)
    assert isinstance(listener, ServiceBusTrigger)
    assert (listener.options.max_batch, listener.options.is_auto_complete) == (7, False)
    assert (listener.is_batch, listener.has_sessions) == (True, False)


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"isSessionsEnabled": "perhaps"}, "`isSessionsEnabled` is 'perhaps', but must be true or false"),
        ({"maxMessageBatchSize": 0}, "`maxMessageBatchSize` is 0, but must be a whole number from 1 on"),
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


def test_batch_smaller_than_the_smallest_is_refused() -> None:
    with pytest.raises(BindingError, match="is 5, but minMessageBatchSize in host.json is 10"):
        create_listener(
            trigger(cardinality="many", maxMessageBatchSize=5), site({"minMessageBatchSize": 10}, C=TEXT)
        )


def test_connection_may_be_an_identity() -> None:
    where = {"C__fullyQualifiedNamespace": "x.servicebus.windows.net", "C__credential": "managedidentity"}
    connection = BusConnection.find(where, "C")
    assert connection.sign_in is not None
    assert (connection.namespace, str(connection.sign_in)) == ("x.servicebus.windows.net", "managed identity")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"C__credential": "managedidentity"}, "`C__fullyQualifiedNamespace` is missing"),
        ({"C__fullyQualifiedNamespace": "sb://x.net/"}, "is not the name of a host"),
        ({"C__fullyQualifiedNamespace": "x.net", "C__credential": "guess"}, "is none of the known"),
        (
            {"C__fullyQualifiedNamespace": "x.net", "C__tenantId": "t"},
            "`C__clientId` and `C__clientSecret` are missing",
        ),
    ],
)
def test_identity_that_is_half_said_is_refused(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(ConnectionSettingError, match=reason):
        BusConnection.find(settings, "C")


async def test_names_may_hold_settings() -> None:
    where = site(C=TEXT, NAME="orders")
    binding = Binding("out", "servicebus", "out", {"queuename": "%NAME%-{x}", "connection": "C"})
    output = create_output(binding, trigger(), where)
    assert output.name.render({"x": 1}) == "orders-1"  # type: ignore[attr-defined]
    listener = create_listener(trigger(queueName="%NAME%/$DeadLetterQueue"), where)
    assert listener.entity.path == "orders/$deadletterqueue"  # type: ignore[attr-defined]
