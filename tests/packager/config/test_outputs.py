from __future__ import annotations

from pathlib import Path

import pytest

from fnpack.config.build import complete
from fnpack.config.options import Value
from fnpack.config.project import ProjectSettings, merge
from fnpack.errors import ConfigurationError
from fnpack.spec import Output


def outputs(folder: Path, *given: str, **flags: Value) -> tuple[Output, ...]:
    (folder / "score.py").touch()
    values: dict[str, Value | None] = {"entry_script": "score.py", "extra_output": given, **flags}
    return complete(merge(ProjectSettings(), {}, values, cwd=folder)).app.outputs


def test_each_kind_is_read(folder: Path) -> None:
    given = (
        "a=blob:archive/{rand-guid}.json",
        "b=queue:alerts",
        "c=service_bus_queue:in/q",
        "d=service_bus_topic:t",
    )
    assert outputs(folder, *given) == (
        Output("a", "blob", "archive/{rand-guid}.json", "TriggerConnectionString"),
        Output("b", "queue", "alerts", "TriggerConnectionString"),
        Output("c", "service_bus_queue", "in/q", "ServiceBusConnection"),
        Output("d", "service_bus_topic", "t", "ServiceBusConnection"),
    )


def test_connection_is_that_of_the_trigger_of_its_service(folder: Path) -> None:
    bus: dict[str, Value] = {"trigger": ("service_bus_queue",), "input_queue": "i", "output_queue": "o"}
    connections = [
        one.connection for one in outputs(folder, "a=queue:alerts", "b=service_bus_queue:q", **bus)
    ]
    assert connections == ["AzureWebJobsStorage", "TriggerConnectionString"]
    blob: dict[str, Value] = {"trigger": ("blob",), "connection": "Mine"}
    connections = [
        one.connection for one in outputs(folder, "a=queue:alerts", "b=service_bus_queue:q", **blob)
    ]
    assert connections == ["Mine", "ServiceBusConnection"]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("alerts", "--extra-output: `alerts` is no output"),
        ("a=queue", "--extra-output: `a=queue` is no output"),
        ("a=queu:alerts", "--extra-output: there is no kind of output `queu`"),
        ("output=queue:alerts", "--extra-output: an output cannot be named `output`"),
        ("class=queue:alerts", "--extra-output: an output cannot be named `class`"),
        ("1a=queue:alerts", "--extra-output: an output cannot be named `1a`"),
        ("a=queue:Alerts", "--extra-output: output `a`: `Alerts` is not the name of a storage queue"),
        ("a=queue:a--b", "--extra-output: output `a`: `a--b` is not the name of a storage queue"),
        ("a=service_bus_queue:-q", "--extra-output: output `a`: `-q` is not the name of a queue or topic"),
        ("a=blob:x/{name", "--extra-output: output `a`: `x/{name`"),
    ],
)
def test_impossible_output_is_refused(folder: Path, given: str, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        outputs(folder, given)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(what)


def test_name_that_is_given_twice_and_blobs_that_feed_the_trigger_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        outputs(folder, "a=queue:one", "A=queue:two", "b=blob:input/{blobname}.json", trigger=("blob",))
    twice, loop = str(caught.value).splitlines()
    assert twice.startswith("--extra-output: the output `A` is given twice")
    assert "would match `input/{blobname}.json` and be scored again, without end" in loop
