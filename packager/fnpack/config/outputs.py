"""The outputs that an entry script may name beside its result: `--extra-output NAME=KIND:TARGET`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from fnpack.app.functions import OUTPUT_KINDS
from fnpack.config.blob_paths import check_blob_paths, fault_of_output_path
from fnpack.config.problems import Problems
from fnpack.config.project import RawSettings
from fnpack.config.suggest import did_you_mean_or_list
from fnpack.spec import (
    DEFAULT_BUS_CONNECTION,
    DEFAULT_CONNECTION,
    BlobTrigger,
    Output,
    ServiceBusQueueTrigger,
    ServiceBusTopicTrigger,
    Trigger,
)

STATE_CONNECTION = "AzureWebJobsStorage"
_FORM = re.compile(r"(?P<name>[^=:]+)=(?P<kind>[^:]+):(?P<target>.+)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,126}")
_TAKEN = (
    "event",
    "output",
    "req",
    "main",
    "func",
    "fnpack_scoring",
    "result",
    "request",
)  # in the functions made
_ENTITY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,258}[A-Za-z0-9_])?")
_STORAGE_QUEUE = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
_SETTING = re.compile(r"%[^%]+%")  # replaced by the host when it starts


def complete_outputs(raw: RawSettings, triggers: Sequence[Trigger], problems: Problems) -> tuple[Output, ...]:
    """The outputs, with the connection of a trigger of their service where there is one. Notes every problem."""
    setting = raw.get("extra_output")
    if setting is None or not isinstance(setting.value, tuple):
        return ()
    inputs = [t.input_path for t in triggers if isinstance(t, BlobTrigger)]
    found: list[Output] = []
    for text in setting.value:
        match = _FORM.fullmatch(text)
        if match is None:
            what = f"`{text}` is no output"
            problems.add(setting.source, what, "write NAME=KIND:TARGET, as in `alerts=queue:alerts`")
            continue
        name, kind, target = match["name"], match["kind"], match["target"]
        if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name.lower() in _TAKEN:
            what = f"an output cannot be named `{name}`"
            problems.add(setting.source, what, "choose another word of letters, digits and `_`")
        elif name.lower() in {output.name.lower() for output in found}:
            problems.add(setting.source, f"the output `{name}` is given twice")
        elif kind not in OUTPUT_KINDS:
            what = f"there is no kind of output `{kind}`"
            problems.add(setting.source, what, did_you_mean_or_list(kind, OUTPUT_KINDS))
        elif kind == "blob" and inputs:
            check_blob_paths(
                inputs[0], target, input_source="", output_source=setting.source, problems=problems
            )
        elif fault := _fault(kind, target):
            problems.add(setting.source, f"output `{name}`: {fault}")
        found.append(Output(name, kind, target, _connection(kind, triggers)))
    return tuple(found)


def _connection(kind: str, triggers: Sequence[Trigger]) -> str:
    blobs = [t.connection for t in triggers if isinstance(t, BlobTrigger)]
    buses = [t.connection for t in triggers if isinstance(t, ServiceBusQueueTrigger | ServiceBusTopicTrigger)]
    if kind.startswith("service_bus"):
        return buses[0] if buses else DEFAULT_BUS_CONNECTION
    if blobs:
        return blobs[0]
    return STATE_CONNECTION if buses else DEFAULT_CONNECTION  # theirs is no storage account


def _fault(kind: str, target: str) -> str:
    """What is wrong with a target, or nothing."""
    plain = _SETTING.sub("setting", target)
    match kind:
        case "blob":
            return fault_of_output_path(target)
        case "queue":
            return (
                ""
                if _STORAGE_QUEUE.fullmatch(plain)
                else (
                    f"`{target}` is not the name of a storage queue: 3 to 63 lower-case letters, digits and single `-`"
                )
            )
    return "" if _ENTITY.fullmatch(plain) else f"`{target}` is not the name of a queue or topic"
