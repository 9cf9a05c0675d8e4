"""The compose file and the emulator's configuration: loopback only, no licence accepted for the user, within limits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

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
