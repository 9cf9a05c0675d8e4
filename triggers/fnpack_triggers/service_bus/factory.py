"""Makes the Service Bus listener and output of a function from its bindings, host.json and the app's settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

from fnpack_triggers.base import Binding, Listener, OutputBinding
from fnpack_triggers.errors import BindingError
from fnpack_triggers.expressions import resolve_settings
from fnpack_triggers.registry import TriggerSite
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import source_of
from fnpack_triggers.service_bus.options import BusOptions, Proxy

_SECTION = "extensions.serviceBus"
_OLD_SECTIONS = ("messageHandlerOptions", "sessionHandlerOptions", "batchOptions")
_MAX_PREFETCH = 50_000  # the library's bound
_PROXY_PORT = 80
_NAMES = ("queueName", "topicName", "subscriptionName", "sessionId")


def create_listener(binding: Binding, site: TriggerSite) -> Listener:
    """The listener of a serviceBusTrigger. Raises BindingError or ConnectionSettingError."""
    _require_library(binding)
    from fnpack_triggers.service_bus.listener import ServiceBusTrigger

    connection = BusConnection.find(site.settings, binding.text("connection"))
    has_sessions = _is_set(binding, "isSessionsEnabled", default=False)
    options = read_options(site, is_batch=binding.is_batch, has_sessions=has_sessions)
    return ServiceBusTrigger(
        site.function,
        source_of(_resolved(binding, site)),
        connection,
        _with_own(options, binding),
        is_batch=binding.is_batch,
        has_sessions=has_sessions,
    )


def create_output(binding: Binding, trigger: Binding, site: TriggerSite) -> OutputBinding:
    """The writer of a serviceBus output. Raises BindingError or ConnectionSettingError."""
    _require_library(binding)
    from fnpack_triggers.service_bus.output import ServiceBusOutput

    connection = BusConnection.find(site.settings, binding.text("connection"))
    return ServiceBusOutput(site.function, _resolved(binding, site), connection, read_options(site))


def read_options(site: TriggerSite, *, is_batch: bool = False, has_sessions: bool = False) -> BusOptions:
    """The options of `extensions.serviceBus`, in their new spelling or in the old one for this kind of trigger.

    Raises BindingError, or what the site raises, for a value that cannot be.
    """
    default = BusOptions()
    messages, sessions, batches = (f"{_SECTION}.{name}" for name in _OLD_SECTIONS)
    handler = sessions if has_sessions else messages
    auto = site.flag(f"{batches if is_batch else handler}.autoComplete", default.is_auto_complete)
    renewal_s = site.seconds(f"{handler}.maxAutoRenewDuration", default.max_renewal_s)
    retry = f"{_SECTION}.clientRetryOptions"
    proxy = _proxy(site.text(f"{_SECTION}.webProxy", ""))
    return BusOptions(
        max_concurrent_calls=_number(
            site, "maxConcurrentCalls", f"{messages}.maxConcurrentCalls", default.max_concurrent_calls
        ),
        prefetch_count=min(site.whole_number(f"{_SECTION}.prefetchCount", 0, 0), _MAX_PREFETCH),
        is_auto_complete=site.flag(f"{_SECTION}.autoCompleteMessages", auto),
        max_renewal_s=_unbounded(site.seconds(f"{_SECTION}.maxAutoLockRenewalDuration", renewal_s)),
        try_timeout_s=max(site.seconds(f"{retry}.tryTimeout", None) or default.try_timeout_s, 1.0),
        delay_s=_span(site, f"{retry}.delay", default.delay_s),
        max_delay_s=_span(site, f"{retry}.maxDelay", default.max_delay_s),
        max_retries=site.whole_number(f"{retry}.maxRetries", default.max_retries, 0),
        is_fixed_delay=site.text(f"{retry}.mode", "Exponential").lower() == "fixed",
        is_web_sockets=proxy is not None
        or site.text(f"{_SECTION}.transportType", "amqpTcp").lower() == "amqpwebsockets",
        proxy=proxy,
        max_batch=_number(site, "maxMessageBatchSize", f"{batches}.maxMessageCount", default.max_batch),
        min_batch=site.whole_number(f"{_SECTION}.minMessageBatchSize", default.min_batch, 1),
        max_batch_wait_s=_first_span(
            site, ("maxBatchWaitTime", "batchOptions.operationTimeout"), default.max_batch_wait_s
        ),
        max_sessions=_number(
            site, "maxConcurrentSessions", f"{sessions}.maxConcurrentSessions", default.max_sessions
        ),
        max_calls_per_session=site.whole_number(f"{_SECTION}.maxConcurrentCallsPerSession", 1, 1),
        session_idle_s=site.seconds(
            f"{_SECTION}.sessionIdleTimeout", site.seconds(f"{sessions}.messageWaitTime", None)
        ),
    )


def _number(site: TriggerSite, name: str, old: str, default: int) -> int:
    """A whole number from 1 on, under its name or under its old one."""
    return site.whole_number(f"{_SECTION}.{name}", site.whole_number(old, default, 1), 1)


def _unbounded(span_s: float | None) -> float | None:
    """A time below zero is without bound."""
    return None if span_s is None or span_s < 0 else span_s


def _first_span(site: TriggerSite, names: Sequence[str], default_s: float) -> float:
    found = (site.seconds(f"{_SECTION}.{name}", None) for name in names)
    return next((span_s for span_s in found if span_s is not None), default_s)


def _span(site: TriggerSite, key: str, default_s: float) -> float:
    value = site.seconds(key, default_s)
    return default_s if value is None else max(value, 0.05)


def _proxy(text: str) -> Proxy | None:
    """`http://[USER:PASSWORD@]HOST[:PORT]`; nothing for an empty text. Raises BindingError that shows no password."""
    if not text.strip():
        return None
    try:
        url = urlsplit(text.strip() if "://" in text else f"http://{text.strip()}")
        port = url.port or _PROXY_PORT
    except ValueError:
        url, port = urlsplit(""), 0
    if url.scheme != "http" or not url.hostname or url.path.strip("/") or url.query or url.fragment:
        raise BindingError(
            "host.json: extensions.serviceBus.webProxy is not the address of an HTTP proxy",
            hint="write http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT",
        )
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return Proxy(f"http://{host}", port, unquote(url.username or ""), unquote(url.password or ""))


def _with_own(options: BusOptions, binding: Binding) -> BusOptions:
    """What the binding says of itself wins over host.json."""
    size = binding.properties.get("maxmessagebatchsize", options.max_batch)
    size = int(size) if isinstance(size, str) and size.strip().isdigit() else size
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise BindingError(
            f"binding `{binding.name}`: `maxMessageBatchSize` is {size!r}, but must be a whole number from 1 on"
        )
    if binding.is_batch and size < options.min_batch:
        raise BindingError(
            f"binding `{binding.name}`: `maxMessageBatchSize` is {size}, but minMessageBatchSize in host.json is "
            f"{options.min_batch}"
        )
    is_auto_complete = _is_set(binding, "autoCompleteMessages", default=options.is_auto_complete)
    return replace(options, is_auto_complete=is_auto_complete, max_batch=size)


def _resolved(binding: Binding, site: TriggerSite) -> Binding:
    """The binding with the `%SETTING%` parts of its names filled in."""
    names = {
        name.lower(): resolve_settings(binding.text(name), site.settings)
        for name in _NAMES
        if binding.text(name)
    }
    return binding._replace(properties={**binding.properties, **names})


def _is_set(binding: Binding, key: str, *, default: bool) -> bool:
    value = binding.properties.get(key.lower(), default)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise BindingError(f"binding `{binding.name}`: `{key}` is {value!r}, but must be true or false")
    return value


def _require_library(binding: Binding) -> None:
    if find_spec("azure") is None or find_spec("azure.servicebus") is None:
        raise BindingError(
            f"binding `{binding.name}` is a {binding.type}, but azure-servicebus is not installed here",
            hint="pip install 'fnpack[servicebus]'",
        )
