"""`deploymentconfig.json`: a local service is honoured, a cloud refused key by key; garbage breaks no reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.config import deployment, inference
from fnpack.config.deployment import CLOUD_KEYS, read_deployment_config
from fnpack.config.docker_section import DOCKER_KEYS
from fnpack.config.inference import read_inference_config
from fnpack.config.python_section import PYTHON_KEYS
from fnpack.errors import ConfigurationError, Problem

GOOD: dict[str, object] = {
    "text": "x", "flag": True, "number": 0.5, "count": 2, "cores": 0, "percent": 70, "label": "team-a",
}  # fmt: skip
BAD: dict[str, list[object]] = {
    "text": [3, "", " "], "flag": [1, "true"], "number": [0, -1, "1", True], "count": [0, 1.5, True],
    "cores": [-1, 1.5], "percent": [-1, 101, "50"], "label": ["Team", "-a", "a" * 64, 3],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def nested(name: str, value: object) -> dict[str, object]:
    parent, dot, child = name.partition(".")
    return {parent: {child: value}} if dot else {name: value}


def faults(folder: Path, data: object) -> list[str]:
    (folder / "dc.json").write_text(json.dumps(data))
    with pytest.raises(ConfigurationError) as caught:
        read_deployment_config(folder / "dc.json")
    return [str(problem).removeprefix("dc.json: ") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("data", "port"),
    [
        ({"computeType": "local"}, None),
        ({"computeType": "LOCAL", "port": 8890}, 8890),
        ({"computeType": "Local", "port": None, "keys": None}, None),
    ],
)
def test_local_service_is_honoured(folder: Path, data: object, port: int | None) -> None:
    (folder / "dc.json").write_text(json.dumps(data))
    assert read_deployment_config(folder / "dc.json").port == port


@pytest.mark.parametrize("port", [0, 65536, "80", 1.5, True, [], {}])
def test_impossible_port_is_refused(folder: Path, port: object) -> None:
    assert faults(folder, {"computeType": "local", "port": port}) == [
        "port: must be a whole number from 1 to 65535; leave it out for any free one"
    ]


@pytest.mark.parametrize("name", CLOUD_KEYS)
def test_every_key_of_a_cloud_says_what_to_use_instead(folder: Path, name: str) -> None:
    key = CLOUD_KEYS[name]
    kind = key.clouds.split()[0]
    data = {"computeType": kind, **nested(name, GOOD[key.kind])}
    found = faults(folder, data)
    assert f"{name}: this belongs to a service in Azure ML; {key.instead}" in found
    assert found[0].startswith(
        f"computeType: `{kind}` is a service in Azure ML, which fnpack does not create; "
    )
    assert any(
        f"{name}: a local service has no such key" in line
        for line in faults(folder, {**data, "computeType": "local"})
    )
    for bad in BAD[key.kind]:
        told = faults(folder, {"computeType": kind, **nested(name, bad)})
        assert any(line.startswith(f"{name}: must be ") for line in told), bad


def test_keys_of_one_cloud_are_not_those_of_another(folder: Path) -> None:
    assert "location: `aks` has no such key; remove it" in faults(
        folder, {"computeType": "aks", "location": "x"}
    )
    assert "numReplicas: `aci` has no such key; remove it" in faults(
        folder, {"computeType": "ACI", "numReplicas": 1}
    )
    assert not [
        line
        for line in faults(folder, {"computeType": "aksendpoint", "numReplicas": 1, "versionName": "a"})
        if "no such key" in line
    ]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({}, "computeType: it is missing"),
        ({"computeType": "loca"}, "computeType: `loca` is unknown; did you mean `local`?"),
        ({"computeType": 3}, "computeType: must be a text, not a number"),
        ({"computeType": "aks", "port": 1}, "port: only a local service has a port"),
        ({"computeType": "local", "prot": 1}, "prot: unknown key; did you mean `port`?"),
        (
            {"computeType": "aks", "autoScaler": {"minReplica": 1}},
            "autoScaler.minReplica: unknown key; did you mean",
        ),
        ({"computeType": "aks", "keys": 3}, "keys: must be an object, not a number"),
        ({"computeType": "aci", "sslEnabled": True, "cname": "x"}, "sslCertificate: it is missing"),
        ({"computeType": "aci", "vnetName": "x"}, "subnetName: it is missing"),
        ({"computeType": "aci", "keyVersion": "x"}, "vaultBaseUrl: it is missing"),
        (
            {"computeType": "aks", "authEnabled": True, "tokenAuthEnabled": True},
            "tokenAuthEnabled: keys and tokens",
        ),
        (
            {"computeType": "aks", "numReplicas": 1, "autoScaler": {"autoscaleEnabled": True}},
            "numReplicas: a fixed",
        ),
        ({"computeType": "aks", "autoScaler": {"autoscaleEnabled": False}}, "numReplicas: it is missing"),
        (
            {
                "computeType": "aks",
                "numReplicas": 1,
                "autoScaler": {"autoscaleEnabled": False, "maxReplicas": 2},
            },
            "autoScaler.maxReplicas: autoscaling is off",
        ),
        (
            {"computeType": "aks", "containerResourceRequirements": {"cpu": 2, "cpuLimit": 1}},
            "containerResourceRequirements.cpuLimit: it is below `cpu`",
        ),
    ],
)
def test_all_faults_are_found(folder: Path, data: object, fault: str) -> None:
    assert any(line.startswith(fault) for line in faults(folder, data))


def test_secrets_are_not_repeated(folder: Path) -> None:
    data = {
        "computeType": "aks",
        "keys": {"primaryKey": "c2VzYW1l", "secondaryKey": ["c2VzYW1l"]},
        "c2V": "c2VzYW1l",
    }
    assert "c2VzYW1l" not in "\n".join(faults(folder, data))


KEYS = st.sampled_from(
    [
        *{part for name in CLOUD_KEYS for part in name.split(".")}, *deployment._TOP, *inference._KEYS,
        *inference._ENVIRONMENT_KEYS, *inference._MOVED, *DOCKER_KEYS, *PYTHON_KEYS, "pip", "dependencies", "channels",
        "address", "username", "password", "os", "architecture", "locationType", "spark", "repositories",
    ]
)  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["local", "aks", "Linux", "python=3.11", "numpy", "-r x", "score.py", "../..", "\x00"])
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=6), inner, max_size=6)
    ),
    max_leaves=20,
)
FILES = (
    st.dictionaries(KEYS, VALUES, max_size=8).map(json.dumps)
    | VALUES.map(json.dumps)
    | st.text()
    | st.binary()
)


@pytest.mark.parametrize("read", [read_deployment_config, read_inference_config])
def test_no_file_breaks_a_reader(tmp_path_factory, read) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "config.json"

    def problems(path: Path) -> tuple[Problem, ...]:
        try:
            read(path)
        except ConfigurationError as error:
            return error.problems
        return ()

    @given(FILES, st.none() | st.tuples(st.integers(0, 400), st.text(max_size=3)))
    def check(content: str | bytes, slip: tuple[int, str] | None) -> None:
        if slip is not None and isinstance(content, str):  # JSON with one thing wrong
            content = content[: slip[0]] + slip[1] + content[slip[0] + 1 :]
        data = content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
        path.write_bytes(data)
        assert all(problem.what and problem.where for problem in problems(path))

    check()
