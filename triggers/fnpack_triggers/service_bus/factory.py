"""Makes the Service Bus listener and output of a function from its bindings, host.json and the app's settings."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

from fnpack_triggers.base import Binding, Listener, OutputBinding
from fnpack_triggers.errors import BindingError
from fnpack_triggers.expressions import resolve_settings
from fnpack_triggers.registry import TriggerSite
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import source_of
from fnpack_triggers.service_bus.options import BusOptions

_SECTION = "extensions.serviceBus"
_OLD = f"{_SECTION}.messageHandlerOptions"
_NAMES = ("queueName", "topicName", "subscriptionName")


def create_listener(binding: Binding, site: TriggerSite) -> Listener:
    """The listener of a serviceBusTrigger. Raises BindingError or ConnectionSettingError."""
    _require_library(binding)
    if _is_set(binding, "isSessionsEnabled", default=False):
        raise _not_yet(binding, "`isSessionsEnabled`", "use a queue or subscription without sessions")
    if binding.text("cardinality", "one").lower() == "many":
        raise _not_yet(binding, "`cardinality: many`", "set `cardinality` to `one`")
    from fnpack_triggers.service_bus.listener import ServiceBusTrigger

    connection = BusConnection.find(site.settings, binding.text("connection"))
    options = read_options(site)
    is_auto_complete = _is_set(binding, "autoCompleteMessages", default=options.is_auto_complete)
    return ServiceBusTrigger(
        site.function,
        source_of(_resolved(binding, site)),
        connection,
        replace(options, is_auto_complete=is_auto_complete),
    )


def create_output(binding: Binding, trigger: Binding, site: TriggerSite) -> OutputBinding:
    """The writer of a serviceBus output. Raises BindingError or ConnectionSettingError."""
    _require_library(binding)
    from fnpack_triggers.service_bus.output import ServiceBusOutput

    connection = BusConnection.find(site.settings, binding.text("connection"))
    return ServiceBusOutput(site.function, _resolved(binding, site), connection, read_options(site))


def read_options(site: TriggerSite) -> BusOptions:
    """The options of `extensions.serviceBus`, in their new or old spelling.

    Raises BindingError, or what the site raises, for a value that cannot be.
    """
    default = BusOptions()
    calls = site.whole_number(f"{_OLD}.maxConcurrentCalls", default.max_concurrent_calls, 1)
    auto = site.flag(f"{_OLD}.autoComplete", default.is_auto_complete)
    renewal_s = site.seconds(f"{_OLD}.maxAutoRenewDuration", default.max_renewal_s)
    renewal_s = site.seconds(f"{_SECTION}.maxAutoLockRenewalDuration", renewal_s)
    if renewal_s is not None and renewal_s < 0:
        renewal_s = None
    retry = f"{_SECTION}.clientRetryOptions"
    if site.text(f"{_SECTION}.webProxy", ""):
        raise BindingError("host.json: extensions.serviceBus.webProxy cannot be used by this version's host")
    return BusOptions(
        site.whole_number(f"{_SECTION}.maxConcurrentCalls", calls, 1),
        site.whole_number(f"{_SECTION}.prefetchCount", default.prefetch_count, 0),
        site.flag(f"{_SECTION}.autoCompleteMessages", auto),
        renewal_s,
        max(site.seconds(f"{retry}.tryTimeout", None) or default.try_timeout_s, 1.0),
        _span(site, f"{retry}.delay", default.delay_s),
        _span(site, f"{retry}.maxDelay", default.max_delay_s),
        site.text(f"{_SECTION}.transportType", "amqpTcp").lower() == "amqpwebsockets",
    )


def _span(site: TriggerSite, key: str, default_s: float) -> float:
    value = site.seconds(key, default_s)
    return default_s if value is None else max(value, 0.05)


def _resolved(binding: Binding, site: TriggerSite) -> Binding:
    """The binding with the `%SETTING%` parts of its names filled in."""
    names = {
        name.lower(): resolve_settings(binding.text(name), site.settings)
        for name in _NAMES
        if binding.text(name)
    }
    return replace(binding, properties={**binding.properties, **names})


def _is_set(binding: Binding, key: str, *, default: bool) -> bool:
    value = binding.properties.get(key.lower(), default)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise BindingError(f"binding `{binding.name}`: `{key}` is {value!r}, but must be true or false")
    return value


def _not_yet(binding: Binding, what: str, instead: str) -> BindingError:
    return BindingError(
        f"binding `{binding.name}` is a serviceBusTrigger with {what}, which this version's host cannot run",
        hint=f"{instead}, or run the app on Azure's host",
    )


def _require_library(binding: Binding) -> None:
    if find_spec("azure") is None or find_spec("azure.servicebus") is None:
        raise BindingError(
            f"binding `{binding.name}` is a {binding.type}, but azure-servicebus is not installed here",
            hint="pip install 'fnpack[servicebus]'",
        )
