"""The compose file and the emulator's configuration: loopback only, no licence accepted for the user, within limits."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from fnpack.devbus.config import read_config
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.service_bus.connection import BusConnection

SHORTEST_LOCK_S, LONGEST_LOCK_S, LONGEST_LIFE_S = 5, 300, 3600


@pytest.fixture(scope="module")
def services(root: Path) -> dict[str, dict]:
    return yaml.safe_load((root / "docker-compose.yml").read_text())["services"]


@pytest.fixture(scope="module")
def namespace(root: Path) -> dict:
    configuration = json.loads((root / "docker" / "servicebus" / "Config.json").read_text())
    (only,) = configuration["UserConfig"]["Namespaces"]
    return only


def test_every_port_is_on_the_loopback(services: dict[str, dict]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_licence_and_password_are_the_users_to_set(services: dict[str, dict]) -> None:
    for name in ("servicebus", "sql"):
        assert services[name]["environment"]["ACCEPT_EULA"] == "${ACCEPT_EULA:-N}"
        assert services[name]["environment"]["MSSQL_SA_PASSWORD"] == "${SQL_PASSWORD:-}"


def test_image_under_test_is_named_by_a_variable_and_runs_locked_down(services: dict[str, dict]) -> None:
    app = services["app"]
    assert app["image"].startswith("${FNPACK_IMAGE")
    assert app["read_only"] is True
    assert app["cap_drop"] == ["ALL"]


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """The compose tool: docker's plugin, or the older program."""
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        return ["docker", "compose"]
    if program := shutil.which("docker-compose"):
        return [program]
    if os.environ.get("CI"):
        pytest.fail("there is no compose tool", pytrace=False)
    pytest.skip("there is no compose tool (Debian, Ubuntu: apt-get install docker-compose)")


def configured(compose: list[str], root: Path, **variables: str) -> dict[str, dict]:
    """The services as the compose tool understands the file, with these variables set and no others."""
    names = ("ACCEPT_EULA", "SQL_PASSWORD", "FNPACK_IMAGE", "FNPACK_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [*compose, "-f", str(root / "docker-compose.yml"), "--profile", "servicebus", "config"],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


def test_compose_tool_takes_the_file_and_puts_the_users_values_in(compose: list[str], root: Path) -> None:
    found = configured(compose, root, ACCEPT_EULA="Y", SQL_PASSWORD="p-1-X", FNPACK_IMAGE="mine:1")
    assert set(found) == {"app", "azurite", "servicebus", "servicebus-ready", "sql"}
    for name in ("servicebus", "sql"):
        assert found[name]["environment"]["ACCEPT_EULA"] == "Y"
        assert found[name]["environment"]["MSSQL_SA_PASSWORD"] == "p-1-X"
    assert found["app"]["image"] == found["servicebus-ready"]["image"] == "mine:1"
    assert configured(compose, root)["sql"]["environment"]["ACCEPT_EULA"] == "N"


def test_everything_that_is_waited_for_says_when_it_is_ready(services: dict[str, dict]) -> None:
    # the app's image has a health check of its own, and the emulator's has nothing to check itself with
    assert {name for name, service in services.items() if "healthcheck" not in service} == {
        "app",
        "servicebus",
    }
    asked = " ".join(services["servicebus-ready"]["healthcheck"]["test"])
    port = services["servicebus"]["environment"]["EMULATOR_HTTP_PORT"]
    assert f"http://servicebus:{port}/health" in asked


def test_connection_string_of_the_app_names_the_services(services: dict[str, dict]) -> None:
    settings = services["app"]["environment"]
    assert BusConnection.parse("test", settings["ServiceBusConnection"]).namespace == "servicebus"
    storage = StorageConnection.parse("test", settings["TriggerConnectionString"])
    assert storage.text == StorageConnection.parse("test", settings["AzureWebJobsStorage"]).text
    assert "BlobEndpoint=http://azurite:10000/" in storage.text


def test_configuration_is_one_for_the_emulator_and_for_fnpack_dev(root: Path) -> None:
    config = read_config(root / "docker" / "servicebus" / "Config.json")
    assert {"input", "output"} <= set(config.queues)
    assert config.queues["output"].duplicate_window_ms == 60_000
    topics = {topic.name: [one.name for one in topic.subscriptions] for topic in config.topics}
    assert (topics["input-topic"], topics["output-topic"]) == (["scoring"], ["results"])


def test_others_wait_only_for_services_with_a_health_check(services: dict[str, dict]) -> None:
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in services[needed]


def test_emulator_images_are_pinned(services: dict[str, dict], root: Path) -> None:
    assert all(not services[name]["image"].endswith(":latest") for name in ("azurite", "servicebus", "sql"))
    azurite = json.loads(
        (root / "packager" / "fnpack" / "dev" / "azurite_package" / "package.json").read_text()
    )["dependencies"]["azurite"]
    assert services["azurite"]["image"].endswith(f":{azurite}")


def test_mounted_files_exist(services: dict[str, dict], root: Path) -> None:
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    assert all((root / source).is_file() for source in mounted if source.startswith("./"))


def test_service_bus_entities_stay_within_the_emulators_limits(namespace: dict) -> None:
    assert namespace["Name"] == "sbemulatorns"
    subscriptions = [one for topic in namespace["Topics"] for one in topic["Subscriptions"]]
    entities = [*namespace["Queues"], *namespace["Topics"], *subscriptions]
    assert len(entities) <= 50
    for entity in entities:
        properties = entity["Properties"]
        assert 0 < seconds(properties["DefaultMessageTimeToLive"]) <= LONGEST_LIFE_S
        if entity not in namespace["Topics"]:
            assert SHORTEST_LOCK_S <= seconds(properties["LockDuration"]) <= LONGEST_LOCK_S
            assert 1 <= properties["MaxDeliveryCount"] <= 10


def seconds(duration: str) -> int:
    """The length of an ISO 8601 duration such as PT1H30M."""
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", duration)
    assert found, duration
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest
