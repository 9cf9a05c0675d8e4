"""Makes the queue listener and the queue output of a function from its bindings, host.json and the app's settings."""

from __future__ import annotations

import os

from fnpack_triggers.base import Binding, Listener, OutputBinding
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import BindingError
from fnpack_triggers.expressions import resolve_settings
from fnpack_triggers.queue.listener import QueueTrigger
from fnpack_triggers.queue.options import (
    MAX_BATCH_SIZE,
    MAX_VISIBILITY_S,
    MIN_POLLING_INTERVAL_S,
    QueueOptions,
)
from fnpack_triggers.queue.output import QueueOutput
from fnpack_triggers.registry import TriggerSite
from fnpack_triggers.settings import find_setting

_SECTION = "extensions.queues"
_HOLD_SETTING = "FNPACK_QUEUE_LOCK_SECONDS"
_DEVELOPMENT_POLLING_S = 2.0


def create_listener(binding: Binding, site: TriggerSite) -> Listener:
    """The listener of a queueTrigger."""
    queue = resolve_settings(binding.text("queueName"), site.settings)
    if not queue:
        raise BindingError(f"binding `{binding.name}` is a queueTrigger: `queueName` is missing")
    connection = StorageConnection.find(site.settings, binding.text("connection")).with_queues()
    return QueueTrigger(site.function, queue, connection, read_options(site))


def create_output(binding: Binding, trigger: Binding, site: TriggerSite) -> OutputBinding:
    """The writer of a queue output."""
    name = resolve_settings(binding.text("queueName"), site.settings)
    binding = binding._replace(properties={**binding.properties, "queuename": name})
    connection = StorageConnection.find(site.settings, binding.text("connection")).with_queues()
    return QueueOutput(binding, connection, is_base64=_is_base64(site))


def read_options(site: TriggerSite) -> QueueOptions:
    """The options of `extensions.queues`, and the app setting FNPACK_QUEUE_LOCK_SECONDS.

    Raises BindingError, or what the site raises, for a value out of its range.
    """
    default = QueueOptions()
    batch_size = site.whole_number(f"{_SECTION}.batchSize", default.batch_size, 1)
    if batch_size > MAX_BATCH_SIZE:
        raise _wrong("batchSize", batch_size, f"a whole number from 1 to {MAX_BATCH_SIZE}")
    threshold = batch_size // 2 * (os.cpu_count() or 1)
    environment = find_setting(site.settings, "AZURE_FUNCTIONS_ENVIRONMENT") or ""
    is_development = environment.lower() == "development"
    polling_s = _DEVELOPMENT_POLLING_S if is_development else default.max_polling_interval_s
    return QueueOptions(
        batch_size,
        site.whole_number(f"{_SECTION}.newBatchThreshold", threshold, 0),
        _span(site, "maxPollingInterval", polling_s, MIN_POLLING_INTERVAL_S),
        _span(site, "visibilityTimeout", default.retry_after_s, 0),
        site.whole_number(f"{_SECTION}.maxDequeueCount", default.max_dequeue_count, 1),
        _is_base64(site),
        _hold_s(site, default.hold_s),
    )


def _span(site: TriggerSite, key: str, default_s: float, minimum_s: float) -> float:
    value = site.seconds(f"{_SECTION}.{key}", default_s)
    if value is None or not minimum_s <= value <= MAX_VISIBILITY_S:
        raise _wrong(key, "-1" if value is None else f"{value:g} s", f"{minimum_s:g} seconds to 7 days")
    return value


def _is_base64(site: TriggerSite) -> bool:
    value = site.text(f"{_SECTION}.messageEncoding", "base64")
    if value.lower() not in ("base64", "none"):
        raise _wrong("messageEncoding", repr(value), '"base64" or "none"')
    return value.lower() == "base64"


def _hold_s(site: TriggerSite, default_s: float) -> float:
    text = find_setting(site.settings, _HOLD_SETTING) or ""
    try:
        value = float(text) if text.strip() else default_s
    except ValueError:
        value = -1
    if not 2 <= value <= MAX_VISIBILITY_S:
        raise BindingError(
            f"the setting `{_HOLD_SETTING}` is {text!r}, but must be 2 to {MAX_VISIBILITY_S:g}"
        )
    return value


def _wrong(key: str, value: object, allowed: str) -> BindingError:
    return BindingError(f"host.json: {_SECTION}.{key} is {value}, but must be {allowed}")
