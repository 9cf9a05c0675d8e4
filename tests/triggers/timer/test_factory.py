"""What a timerTrigger binding may say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timezone

import pytest

from fnpack_host.app.host_json import HostJson
from fnpack_triggers.base import Binding, Json
from fnpack_triggers.errors import BindingError, ConnectionSettingError, PatternError
from fnpack_triggers.registry import TriggerSite, create_listener
from fnpack_triggers.timer.listener import TimerOptions, TimerTrigger
from fnpack_triggers.timer.schedule import parse_schedule

STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


def options(
    settings: Mapping[str, str] = STORAGE, host_json: Mapping[str, Json] | None = None, **properties: Json
) -> TimerOptions:
    values = HostJson({"version": "2.0", **(host_json or {})})
    site = TriggerSite("f", "id", settings, values.integer, values.seconds, values.text)
    given = {"schedule": "0 */5 * * * *", **{key.lower(): value for key, value in properties.items()}}
    timer = create_listener(Binding("timer", "timertrigger", "in", given), site)
    assert isinstance(timer, TimerTrigger)
    return timer._options


def test_defaults_are_azures() -> None:
    schedule = parse_schedule("0 */5 * * * *", timezone.utc)
    assert options() == TimerOptions(
        schedule, timezone.utc, run_on_startup=False, use_monitor=True, lock_period_s=60
    )


def test_a_schedule_may_come_from_a_setting() -> None:
    settings = {**STORAGE, "EVERY": "00:10:00"}
    assert options(settings, schedule="%EVERY%").schedule == parse_schedule("00:10:00", timezone.utc)


def test_flags_zone_and_lock_period_are_read() -> None:
    found = options(
        {**STORAGE, "WEBSITE_TIME_ZONE": "Europe/Berlin"},
        {"singleton": {"listenerLockPeriod": "00:00:15"}},
        runOnStartup=True,
        useMonitor="False",
    )
    assert (found.run_on_startup, found.use_monitor, found.lock_period_s) == (True, False, 15)
    assert str(found.zone) == "Europe/Berlin"


def test_what_is_due_more_than_once_a_minute_is_not_monitored() -> None:
    assert options(schedule="*/10 * * * * *", useMonitor=True).is_monitored is False
    assert options(useMonitor=True).is_monitored is True


def test_without_state_storage_the_error_says_what_to_set() -> None:
    with pytest.raises(ConnectionSettingError, match="AzureWebJobsStorage"):
        options({})


def test_another_triggers_storage_serves_when_there_is_no_other() -> None:
    values = HostJson({"version": "2.0"})
    blob = Binding("b", "blobtrigger", "in", {"path": "in", "connection": "Mine"})
    settings = {"Mine": "UseDevelopmentStorage=true"}
    site = TriggerSite("f", "id", settings, values.integer, values.seconds, values.text, (blob,))
    timer = create_listener(Binding("t", "timertrigger", "in", {"schedule": "00:05:00"}), site)
    assert isinstance(timer, TimerTrigger)
    assert timer._connection.setting == "Mine"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"schedule": ""}, "`schedule` is missing"),
        ({"schedule": "0 0 25 * * *"}, "the hour is 0 to 23"),
        ({"schedule": "%NOT_SET%"}, "NOT_SET"),
        ({"runOnStartup": "yes"}, "runOnStartup"),
    ],
)
def test_a_wrong_property_is_told(wrong: dict[str, Json], told: str) -> None:
    with pytest.raises((BindingError, PatternError), match=told):
        options(STORAGE, None, **wrong)


def test_a_lock_period_out_of_range_is_told() -> None:
    with pytest.raises(BindingError, match="listenerLockPeriod is 5 s, but must be 15 to 60"):
        options(STORAGE, {"singleton": {"listenerLockPeriod": "00:00:05"}})
