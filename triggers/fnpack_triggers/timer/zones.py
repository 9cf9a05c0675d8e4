"""Time zones by name: `WEBSITE_TIME_ZONE` as Azure takes it, on Linux (`Europe/Berlin`) and on Windows."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from datetime import timezone, tzinfo

from fnpack_triggers.errors import BindingError
from fnpack_triggers.settings import find_setting

SETTINGS = ("WEBSITE_TIME_ZONE", "TZ")

# From CLDR's windowsZones (territory 001), for the names that Azure's documentation and portals show most.
_WINDOWS = {
    "AUS Eastern Standard Time": "Australia/Sydney",
    "Arabian Standard Time": "Asia/Dubai",
    "Argentina Standard Time": "America/Buenos_Aires",
    "Atlantic Standard Time": "America/Halifax",
    "Canada Central Standard Time": "America/Regina",
    "Central America Standard Time": "America/Guatemala",
    "Central Europe Standard Time": "Europe/Budapest",
    "Central European Standard Time": "Europe/Warsaw",
    "Central Standard Time": "America/Chicago",
    "Central Standard Time (Mexico)": "America/Mexico_City",
    "China Standard Time": "Asia/Shanghai",
    "E. Australia Standard Time": "Australia/Brisbane",
    "E. South America Standard Time": "America/Sao_Paulo",
    "Eastern Standard Time": "America/New_York",
    "Egypt Standard Time": "Africa/Cairo",
    "FLE Standard Time": "Europe/Kiev",
    "GMT Standard Time": "Europe/London",
    "GTB Standard Time": "Europe/Bucharest",
    "Greenwich Standard Time": "Atlantic/Reykjavik",
    "Hawaiian Standard Time": "Pacific/Honolulu",
    "India Standard Time": "Asia/Calcutta",
    "Israel Standard Time": "Asia/Jerusalem",
    "Korea Standard Time": "Asia/Seoul",
    "Mountain Standard Time": "America/Denver",
    "New Zealand Standard Time": "Pacific/Auckland",
    "Pacific SA Standard Time": "America/Santiago",
    "Pacific Standard Time": "America/Los_Angeles",
    "Romance Standard Time": "Europe/Paris",
    "Russian Standard Time": "Europe/Moscow",
    "SA Pacific Standard Time": "America/Bogota",
    "SE Asia Standard Time": "Asia/Bangkok",
    "Singapore Standard Time": "Asia/Singapore",
    "South Africa Standard Time": "Africa/Johannesburg",
    "Taipei Standard Time": "Asia/Taipei",
    "Tokyo Standard Time": "Asia/Tokyo",
    "Turkey Standard Time": "Europe/Istanbul",
    "US Mountain Standard Time": "America/Phoenix",
    "W. Australia Standard Time": "Australia/Perth",
    "W. Europe Standard Time": "Europe/Berlin",
}
_BY_LOWER = {name.lower(): zone for name, zone in _WINDOWS.items()}


def schedule_zone(settings: Mapping[str, str]) -> tzinfo:
    """The zone of the app's schedules: `WEBSITE_TIME_ZONE`, else `TZ`, else UTC. Raises BindingError."""
    for setting in SETTINGS:
        if name := (find_setting(settings, setting) or "").strip().lstrip(":"):
            return _zone(setting, name)
    return timezone.utc


def _zone(setting: str, name: str) -> tzinfo:
    if name.upper() in ("UTC", "GMT", "ETC/UTC"):
        return timezone.utc  # needs no time zone data
    try:
        return zoneinfo.ZoneInfo(_BY_LOWER.get(name.lower(), name))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise BindingError(
            f"the setting `{setting}` is {name!r}, which names no time zone here",
            hint="use a name such as Europe/Berlin; if it is right, the machine has no time zone data: "
            "install the package `tzdata` (of the system or of Python)",
        ) from exc
