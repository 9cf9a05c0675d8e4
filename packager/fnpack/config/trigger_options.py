"""Which triggers a build has, from the options that name and describe them."""

from __future__ import annotations

import re

from fnpack.config.blob_paths import check_blob_paths
from fnpack.config.options import OPTIONS
from fnpack.config.problems import Problems
from fnpack.config.project import RawSettings
from fnpack.config.suggest import did_you_mean_or_list, one_of
from fnpack.spec import (
    DEFAULT_BUS_CONNECTION,
    DEFAULT_CONNECTION,
    BlobTrigger,
    HttpTrigger,
    ServiceBusQueueTrigger,
    ServiceBusTopicTrigger,
    Trigger,
)

DEFAULT_INPUT_PATH = "input/{blobname}.json"
DEFAULT_OUTPUT_PATH = "output/{blobname}_out.json"
AUTH_LEVELS = ("anonymous", "function", "admin")
_QUEUE, _TOPIC = "service_bus_queue", "service_bus_topic"
_USES: dict[str, tuple[str, ...]] = {  # trigger -> the options that describe it
    "http": ("auth_level",),
    "blob": ("input_path", "output_path", "connection"),
    _QUEUE: ("input_queue", "output_queue", "output_topic", "connection", "service_bus_connection"),
    _TOPIC: (
        "input_topic",
        "input_subscription",
        "output_topic",
        "output_queue",
        "connection",
        "service_bus_connection",
    ),
}
TRIGGERS = tuple(_USES)
_ALIASES = {"queue": _QUEUE, "servicebus": _QUEUE, "topic": _TOPIC, "storage": "blob", "https": "http"}
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_SETTING = re.compile(r"%[^%]+%")  # replaced by the host when it starts
# https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas: 260 for queues and topics, 50 for
# subscriptions, which hold no `/` either.
_ENTITY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9_])?")


def complete_triggers(raw: RawSettings, problems: Problems) -> tuple[Trigger, ...]:
    """The triggers asked for (http if none is), described by their options. Notes every problem."""
    names = _names(raw, problems)
    _unused_options(raw, names, problems)
    connection = _connection(raw, "connection", DEFAULT_CONNECTION, problems)
    bus = _bus_connection(raw, names, connection, problems)
    found: list[Trigger] = []
    for name in names:
        match name:
            case "http":
                found.append(HttpTrigger(_auth_level(raw, problems)))
            case "blob":
                found.append(_blob(raw, connection, problems))
            case "service_bus_queue":
                found.append(_queue(raw, bus, problems, both=_TOPIC in names))
            case _:
                found.append(_topic(raw, bus, problems, both=_QUEUE in names))
    return tuple(found)


def _names(raw: RawSettings, problems: Problems) -> tuple[str, ...]:
    setting = raw.get("trigger")
    if setting is None or not isinstance(setting.value, tuple):
        return ("http",)
    for name in setting.value:
        if name not in _USES:
            alias = _ALIASES.get(name.casefold().replace("_", "").replace("-", ""))
            suggestion = f"did you mean `{alias}`?" if alias else did_you_mean_or_list(name, TRIGGERS)
            problems.add(setting.source, f"there is no trigger `{name}`", suggestion)
    return tuple(dict.fromkeys(name for name in setting.value if name in _USES))


def _unused_options(raw: RawSettings, names: tuple[str, ...], problems: Problems) -> None:
    """Options of triggers that were not asked for. A flag may choose another trigger than the one that the
    project's file describes: what ranks below the choice is then simply not used.
    """
    chosen = raw.get("trigger")
    if chosen is not None and not names:
        return  # the names are wrong: which options belong to them is not known
    used = {option for name in names for option in _USES[name]}
    for option in dict.fromkeys(option for options in _USES.values() for option in options):
        setting = raw.get(option)
        if setting is None or option in used or (chosen is not None and setting.rank < chosen.rank):
            continue
        owners = [name for name in TRIGGERS if option in _USES[name]]
        what = f"this is an option of {one_of(owners)}, but the trigger is {one_of(names)}"
        problems.add(setting.source, what, f"add `--trigger {owners[0]}`, or leave it out")


def _auth_level(raw: RawSettings, problems: Problems) -> str:
    setting, value = raw.get("auth_level"), raw.text("auth_level")
    if setting is None or value is None:
        return "function"
    if value not in AUTH_LEVELS:
        suggestion = did_you_mean_or_list(value, AUTH_LEVELS)
        problems.add(setting.source, f"there is no authorization level `{value}`", suggestion)
    return value


def _bus_connection(raw: RawSettings, names: tuple[str, ...], connection: str, problems: Problems) -> str:
    """The connection of Service Bus functions: as of all, but apart where a blob function takes the default."""
    is_beside_blobs = "blob" in names and raw.get("connection") is None
    default = DEFAULT_BUS_CONNECTION if is_beside_blobs else connection
    return _connection(raw, "service_bus_connection", default, problems)


def _connection(raw: RawSettings, option: str, default: str, problems: Problems) -> str:
    """The name of the setting that holds a connection string. A wrong value is never shown: it may be the string."""
    setting, value = raw.get(option), raw.text(option)
    if setting is None or value is None:
        return default
    if not _SETTING_NAME.fullmatch(value):
        secret = any(mark in value for mark in (";", "=", "://"))
        what = (
            "this looks like a connection string, but the name of a setting is wanted (the value is not shown)"
            if secret
            else "this is not the name of a setting (letters, digits and `_`)"
        )
        suggestion = f"leave it out, and set `{default}` to the connection string where the image runs"
        problems.add(setting.source, what, suggestion)
    return value


def _blob(raw: RawSettings, connection: str, problems: Problems) -> BlobTrigger:
    given_input, given_output = raw.get("input_path"), raw.get("output_path")
    input_path = raw.text("input_path") or DEFAULT_INPUT_PATH
    output_path = raw.text("output_path") or DEFAULT_OUTPUT_PATH
    check_blob_paths(
        input_path,
        output_path,
        input_source=given_input.source if given_input else "--input-path (default)",
        output_source=given_output.source if given_output else "--output-path (default)",
        problems=problems,
    )
    return BlobTrigger(input_path, output_path, connection)


def _queue(raw: RawSettings, connection: str, problems: Problems, *, both: bool) -> ServiceBusQueueTrigger:
    source = _entity(raw, "input_queue", problems, required_by=_QUEUE)
    queue, topic = _outputs(raw, problems, _QUEUE, prefer="output_queue", both=both)
    _refuse_loop(raw, "queue", source, queue, problems)
    return ServiceBusQueueTrigger(source, queue, topic, connection)


def _topic(raw: RawSettings, connection: str, problems: Problems, *, both: bool) -> ServiceBusTopicTrigger:
    source = _entity(raw, "input_topic", problems, required_by=_TOPIC)
    subscription = _entity(raw, "input_subscription", problems, required_by=_TOPIC)
    queue, topic = _outputs(raw, problems, _TOPIC, prefer="output_topic", both=both)
    _refuse_loop(raw, "topic", source, topic, problems)
    return ServiceBusTopicTrigger(source, subscription, topic, queue, connection)


def _outputs(
    raw: RawSettings, problems: Problems, trigger: str, *, prefer: str, both: bool
) -> tuple[str | None, str | None]:
    """Output queue and output topic, of which a trigger has one.

    With both triggers in a build and both outputs given, the queue answers to the queue and the topic to the topic.
    """
    given = [name for name in ("output_queue", "output_topic") if raw.get(name) is not None]
    if not given:
        what = f"the trigger `{trigger}` needs a place for its results"
        problems.add(OPTIONS[prefer].flag, what, "give --output-queue or --output-topic")
        return None, None
    if len(given) > 1:
        given = [prefer]
        if not both:
            what = "both an output queue and an output topic are given"
            problems.add(raw.values["output_topic"].source, what, "keep one of them")
    value = _entity(raw, given[0], problems)
    return (value, None) if given[0] == "output_queue" else (None, value)


def _entity(raw: RawSettings, option: str, problems: Problems, *, required_by: str = "") -> str:
    setting, value = raw.get(option), raw.text(option)
    if setting is None or value is None:
        problems.add(
            OPTIONS[option].flag, f"the trigger `{required_by}` needs it", f"give {OPTIONS[option].flag} NAME"
        )
        return ""
    is_subscription = option == "input_subscription"
    longest = 50 if is_subscription else 260
    plain = _SETTING.sub("s", value)
    kind = option.partition("_")[2]
    if not 1 <= len(plain) <= longest:
        problems.add(setting.source, f"the name of a {kind} has 1 to {longest} characters")
    elif not _ENTITY.fullmatch(plain) or (is_subscription and "/" in plain):
        marks = "`.`, `-` and `_`" if is_subscription else "`.`, `-`, `_` and `/`"
        what = f"this is not the name of a {kind}: it has letters, digits, {marks}, a letter or digit at both ends"
        problems.add(setting.source, what)
    return value


def _refuse_loop(raw: RawSettings, kind: str, source: str, target: str | None, problems: Problems) -> None:
    """Refuse results in the queue or topic (`kind`) that the events come from. Azure compares names without case."""
    if target and source.casefold() == target.casefold():
        what = f"results would go to the {kind} that they come from and be scored again, without end"
        problems.add(raw.values[f"output_{kind}"].source, what, f"give another {kind} than --input-{kind}")
