"""What to build, as plain data: the result of configuration and the input of the app-directory writer.

It owns no reading, no validation of files and no defaults that depend on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

# What becomes of the lock file: kept while it fits, made anew with new versions, or not to be changed.
LockMode = Literal["reuse", "upgrade", "locked"]
DEFAULT_CONNECTION = "TriggerConnectionString"
DEFAULT_BUS_CONNECTION = "ServiceBusConnection"  # of Service Bus functions beside a blob function


class ModelSource(NamedTuple):
    """A model file or folder, laid out in the app as `azureml-models/<name>/<version>/<base name>`.

    `framework` and its version are what the model was registered with.
    """

    name: str
    path: Path
    version: str = "1"
    framework: str | None = None
    framework_version: str | None = None


class HttpTrigger(NamedTuple):
    """Score an HTTP request. `auth_level` is anonymous, function or admin."""

    auth_level: str = "function"


class BlobTrigger(NamedTuple):
    """Score each blob matching `input_path`, write the result to `output_path`; both are container/blob patterns."""

    input_path: str
    output_path: str
    connection: str = DEFAULT_CONNECTION


class ServiceBusQueueTrigger(NamedTuple):
    """Score each message of a Service Bus queue and send the result to a queue or topic."""

    input_queue: str
    output_queue: str | None = None
    output_topic: str | None = None
    connection: str = DEFAULT_CONNECTION


class ServiceBusTopicTrigger(NamedTuple):
    """Score each message of a topic's subscription and send the result to a queue or topic."""

    input_topic: str
    input_subscription: str
    output_topic: str | None = None
    output_queue: str | None = None
    connection: str = DEFAULT_CONNECTION


Trigger = HttpTrigger | BlobTrigger | ServiceBusQueueTrigger | ServiceBusTopicTrigger


class Output(NamedTuple):
    """An output beside the result, which the entry script names: `Outputs(result, NAME=...)`.

    `kind` is blob, queue, service_bus_queue or service_bus_topic; `target` a blob path, or a queue's or topic's name.
    """

    name: str
    kind: str
    target: str
    connection: str = DEFAULT_CONNECTION


class RegistryLogin(NamedTuple):
    """Credentials of the base image's registry. Never printed: `repr` leaves the password out."""

    address: str
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Without the password."""
        return f"RegistryLogin(address={self.address!r}, username={self.username!r})"


class CondaPackages(NamedTuple):
    """What conda installs: match specs (`numpy=1.26`), Python among them, and channels by name, address or folder."""

    specs: tuple[str, ...]
    channels: tuple[str, ...] = ()


class Environment(NamedTuple):
    """The Python side of an inference configuration, whatever file it came from.

    `requirements` are PEP 508 lines as the user wrote them (options such as `--index-url` are not among them), or
    absolute paths of local packages; `constraints` only limit versions.
    `python_version` is "3.11" style, or None when the configuration does not say. `user_managed` means: the base
    image already holds all packages, install nothing.
    """

    requirements: tuple[str, ...] = ()
    requirements_source: str = "no requirements"  # where they came from, for messages
    python_version: str | None = None
    user_managed: bool = False
    base_image: str | None = None
    base_image_registry: RegistryLogin | None = None
    variables: Mapping[str, str] = {}
    constraints: tuple[str, ...] = ()
    conda: CondaPackages | None = None  # None where pip does for everything
    # what the user should know, one line each ("azureml-defaults is left out: ...")
    notes: tuple[str, ...] = ()


class AppSpec(NamedTuple):
    """A function app to write: script, models, triggers, environment."""

    entry_script: Path  # absolute
    source_directory: Path | None  # absolute; the entry script is inside it
    models: tuple[ModelSource, ...]
    triggers: tuple[Trigger, ...]
    environment: Environment
    outputs: tuple[Output, ...] = ()  # every function has them
    built_in: str | None = (
        None  # what the script was made for, where fnpack made it: `scikit-learn 1.7.2 (...)`
    )
