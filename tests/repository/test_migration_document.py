"""docs/migration.md: each old name is there, each new one exists, and what is gone names its alternative."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from fnpack.config.deployment import CLOUD_KEYS
from fnpack.migration.names import INSTEAD, INSTEAD_OF_MEMBERS, INSTEAD_OF_MODULES, MODULES

# What Azure ML's documents on deploying with SDK v1 call by name, in their order.
FEATURES = """
Workspace.from_config run.register_model run.model_id Model.register model.name model.id model.version TagName=TagValue
model.delete init() run() Model.get_model_path rawhttp AMLRequest AMLResponse input_schema output_schema swagger_uri
InferenceConfig source_directory runtime entry_script conda_file inferenceconfig.json Environment.get AzureML-Minimal
clone docker.enabled CondaDependencies.create base_image base_image_registry DerivedImageName no-code
LocalWebservice.deploy_configuration AciWebservice.deploy_configuration AksWebservice.deploy_configuration
deploymentconfig.json Model.deploy wait_for_deployment service.state get_logs Webservice.deploy deploy_from_model
deploy_from_image Transitioning Unhealthy Unschedulable Healthy pipelines IoT package BLOB_TRIGGER HTTP_TRIGGER
SERVICE_BUS_QUEUE_TRIGGER wait_for_creation location get_container_registry TriggerConnectionString
WEBSITES_ENABLE_APP_SERVICE_STORAGE DOCKER_REGISTRY_SERVER_URL DOCKER_CUSTOM_IMAGE_NAME
AksCompute.provisioning_configuration ComputeTarget attach_configuration num_replicas AksEndpoint traffic_percentile
create_version update_version delete_version get_keys regen_key auth_enabled token_auth_enabled get_token scoring_uri
Authorization service.update service.delete ModelDataCollector package_http package_blob package_service_bus_queue
Model.package Model.profile
""".split()  # noqa: SIM905 - one to a word


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "migration.md").read_text("utf-8")


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_of_sdk_v1_has_a_row(text: str, name: str) -> None:
    fits = [row for row in rows(text) if name.removesuffix("()") in row[0] or name in row[0]]
    assert fits
    assert all(row[1] for row in fits)


def test_every_import_is_mapped_as_the_code_maps_it(text: str) -> None:
    documented = {
        old.strip("`"): (new.strip("`"), tuple(re.findall(r"`(\w+)`", names)))
        for old, new, names in (row for row in rows(text) if len(row) == 3 and row[0].startswith("`azureml"))
    }
    assert documented == MODULES


def test_every_new_name_exists(text: str) -> None:
    named = set(re.findall(r"`(fnpack(?:\.\w+)+)`", text))
    assert len(named) > 8
    for name in named:
        importlib.import_module(name)
    for old, (new, names) in MODULES.items():
        module = importlib.import_module(new)
        assert not [name for name in names if not hasattr(module, name)], old


def test_everything_that_is_gone_names_its_alternative(text: str) -> None:
    documented = {row[0].strip("`"): row[1] for row in rows(text.partition("## Not carried over")[2])}
    for table in (INSTEAD, INSTEAD_OF_MODULES, INSTEAD_OF_MEMBERS):
        assert table.items() <= documented.items()


def test_every_key_of_a_deployment_configuration_is_documented(root: Path) -> None:
    text = (root / "docs" / "configuration.md").read_text("utf-8")
    documented = {row[0].strip("`"): tuple(row[1:]) for row in rows(text) if len(row) == 3}
    for name, key in CLOUD_KEYS.items():
        assert documented[name] == (key.clouds.replace(" ", ", "), key.instead)


def test_no_name_is_both_carried_over_and_gone() -> None:
    kept = {name for _, names in MODULES.values() for name in names}
    assert not kept & set(INSTEAD)
    assert not set(MODULES) & set(INSTEAD_OF_MODULES)
