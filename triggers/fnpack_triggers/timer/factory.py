"""Makes the timer listener of a function from its binding, host.json and the app's settings."""

from __future__ import annotations

from fnpack_triggers.base import Binding, Listener
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import BindingError, ConnectionSettingError
from fnpack_triggers.expressions import resolve_settings
from fnpack_triggers.registry import TriggerSite, state_connection
from fnpack_triggers.timer.listener import TimerOptions, TimerTrigger
from fnpack_triggers.timer.schedule import parse_schedule
from fnpack_triggers.timer.zones import schedule_zone

_LOCK_PERIOD = "singleton.listenerLockPeriod"
_MIN_LOCK_S, _MAX_LOCK_S = 15, 60


def create_listener(binding: Binding, site: TriggerSite) -> Listener:
    """The listener of a timerTrigger; its state lives in AzureWebJobsStorage, else where the app's other state is."""
    text = resolve_settings(binding.text("schedule"), site.settings)
    if not text.strip():
        raise BindingError(
            f"binding `{binding.name}` is a timerTrigger: `schedule` is missing",
            hint='write an NCRONTAB expression with seconds, such as "0 */5 * * * *"',
        )
    zone = schedule_zone(site.settings)
    options = TimerOptions(
        parse_schedule(text, zone),
        zone,
        _flag(binding, "runOnStartup", default=False),
        _flag(binding, "useMonitor", default=True),
        _lock_period_s(site),
    )
    return TimerTrigger(site.function, options, site.host_id, _storage(binding, site))


def _storage(binding: Binding, site: TriggerSite) -> StorageConnection:
    if found := state_connection(site.settings, site.triggers):
        return found
    if name := binding.text("connection"):
        return StorageConnection.find(site.settings, name).with_blobs()
    raise ConnectionSettingError(
        f"function `{site.function}` runs on a timer, whose schedule is kept in a storage account, "
        "but the setting `AzureWebJobsStorage` is not set",
        hint="set `AzureWebJobsStorage` to a connection string (UseDevelopmentStorage=true with a local Azurite)",
    )


def _lock_period_s(site: TriggerSite) -> int:
    value = site.seconds(_LOCK_PERIOD, float(_MAX_LOCK_S))
    if value is None or not _MIN_LOCK_S <= value <= _MAX_LOCK_S:
        shown = "-1" if value is None else f"{value:g} s"
        raise BindingError(
            f"host.json: {_LOCK_PERIOD} is {shown}, but must be {_MIN_LOCK_S} to {_MAX_LOCK_S} s"
        )
    return int(value)


def _flag(binding: Binding, key: str, *, default: bool) -> bool:
    value = binding.properties.get(key.lower(), default)
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise BindingError(f"binding `{binding.name}`: `{key}` is {value!r}, but must be true or false")
    return value
