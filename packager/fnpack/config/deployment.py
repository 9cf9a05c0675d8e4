"""Reads `deploymentconfig.json`, the deployment configuration of Azure ML SDK and CLI v1, in its whole schema.

A local service is honoured. One for a cloud is refused with what to use instead, key by key; every fault is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fnpack.config.files import label
from fnpack.config.json_text import read_json_object
from fnpack.config.problems import Problems
from fnpack.config.section import Section
from fnpack.config.suggest import did_you_mean_or_list

COMPUTE_TYPES = ("local", "aci", "aks", "aksendpoint")
_CLOUDS = COMPUTE_TYPES[1:]
_RESOURCES = "set it where the image runs: `docker run --cpus --memory`, resources in the Kubernetes manifest"
_KEYS_INSTEAD = "build with `--auth-level function`: callers send a function key"
_TLS = "let what stands before the container end TLS: the platform, an ingress, a proxy"
_NETWORK = "choose it on the platform that runs the image"
_SCALE = "let the platform scale: KEDA, Container Apps, a HorizontalPodAutoscaler"
_PROBE = "set the probe in the Kubernetes manifest, at GET /admin/host/ping"
_INSIGHTS = "read the host's log: `--log-format json`, or FNPACK_LOG_FORMAT=json in an image"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that clouds have. `kind` is text, flag, number (above 0), count (a whole number above 0) or percent."""

    kind: str
    clouds: str
    instead: str


# Keys of a cloud's configuration, nested ones with a dot. `aks` means its endpoints too.
CLOUD_KEYS: Mapping[str, Key] = {
    "containerResourceRequirements.cpu": Key("number", "aci aks", _RESOURCES),
    "containerResourceRequirements.memoryInGB": Key("number", "aci aks", _RESOURCES),
    "containerResourceRequirements.cpuLimit": Key("number", "aks", _RESOURCES),
    "containerResourceRequirements.memoryInGBLimit": Key("number", "aks", _RESOURCES),
    "containerResourceRequirements.gpu": Key("cores", "aks", _RESOURCES),
    "gpuCores": Key("cores", "aks", _RESOURCES),
    "location": Key("text", "aci", _NETWORK),
    "authEnabled": Key("flag", "aci aks", _KEYS_INSTEAD),
    "tokenAuthEnabled": Key("flag", "aks", _KEYS_INSTEAD),
    "keys.primaryKey": Key("text", "aci aks", "mount function keys, see docs/configuration.md"),
    "keys.secondaryKey": Key("text", "aci aks", "mount function keys, see docs/configuration.md"),
    "sslEnabled": Key("flag", "aci", _TLS),
    "sslCertificate": Key("text", "aci", _TLS),
    "sslKey": Key("text", "aci", _TLS),
    "cname": Key("text", "aci", _TLS),
    "dnsNameLabel": Key("text", "aci", _NETWORK),
    "vaultBaseUrl": Key("text", "aci", "encrypt disks on the platform that runs the image"),
    "keyName": Key("text", "aci", "encrypt disks on the platform that runs the image"),
    "keyVersion": Key("text", "aci", "encrypt disks on the platform that runs the image"),
    "vnetName": Key("text", "aci", _NETWORK),
    "subnetName": Key("text", "aci", _NETWORK),
    "appInsightsEnabled": Key("flag", "aci aks", _INSIGHTS),
    "dataCollection.storageEnabled": Key(
        "flag", "aci aks", "write inputs and results from the script itself"
    ),
    "autoScaler.autoscaleEnabled": Key("flag", "aks", _SCALE),
    "autoScaler.minReplicas": Key("count", "aks", _SCALE),
    "autoScaler.maxReplicas": Key("count", "aks", _SCALE),
    "autoScaler.refreshPeriodInSeconds": Key("count", "aks", _SCALE),
    "autoScaler.targetUtilization": Key("percent", "aks", _SCALE),
    "numReplicas": Key("count", "aks", "set the replicas in the Kubernetes manifest"),
    "scoringTimeoutMs": Key("count", "aks", "set `functionTimeout` in host.json"),
    "maxConcurrentRequestsPerContainer": Key(
        "count", "aks", "set `extensions.http.maxConcurrentRequests` in host.json"
    ),
    "maxQueueWaitMs": Key("count", "aks", "set `extensions.http.maxOutstandingRequests` in host.json"),
    "livenessProbeRequirements.initialDelaySeconds": Key("count", "aks", _PROBE),
    "livenessProbeRequirements.periodSeconds": Key("count", "aks", _PROBE),
    "livenessProbeRequirements.timeoutSeconds": Key("count", "aks", _PROBE),
    "livenessProbeRequirements.successThreshold": Key("count", "aks", _PROBE),
    "livenessProbeRequirements.failureThreshold": Key("count", "aks", _PROBE),
    "namespace": Key("label", "aks", "set the namespace in the Kubernetes manifest"),
    "computeTargetName": Key("text", "aks", "name the cluster where you apply the manifest"),
    "versionName": Key(
        "text", "aksendpoint", "run each version as a service of its own and split traffic before them"
    ),
    "trafficPercentile": Key(
        "percent", "aksendpoint", "run each version as a service of its own and split traffic before them"
    ),
}
_TOP = ("computeType", "port", *dict.fromkeys(key.partition(".")[0] for key in CLOUD_KEYS))
_TOGETHER = (
    (("sslCertificate", "sslKey", "cname"), "sslEnabled"),
    (("vaultBaseUrl", "keyName", "keyVersion"), None),
    (("vnetName", "subnetName"), None),
)
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class DeploymentConfig:
    """How to run an app on this machine. `port` is None for any free one."""

    port: int | None = None


def read_deployment_config(path: Path) -> DeploymentConfig:
    """Read and validate a deployment configuration.

    Raises ConfigurationFileError, ConfigurationSyntaxError or ConfigurationError, which names every key of a service
    in a cloud with what to use instead.
    """
    problems = Problems()
    top = Section(read_json_object(path, problems), label(path), problems, known=_TOP)
    compute = top.text("computeType")
    kind = (compute or "").casefold()
    if "computeType" not in top.data:
        top.problem("computeType", "it is missing", 'write `"local"`, the kind that runs on this machine')
    elif compute is not None and kind not in COMPUTE_TYPES:
        top.problem("computeType", f"`{compute}` is unknown", did_you_mean_or_list(compute, ("local",)))
    elif kind in _CLOUDS:
        top.problem(
            "computeType",
            f"`{compute}` is a service in Azure ML, which fnpack does not create",
            "build an image and run it on that platform; on this machine use `local`",
        )
    port = _port(top, is_local=kind not in _CLOUDS)
    found = {name: value for name, value in _values(top).items() if value is not None}
    for name, value in found.items():
        _check(top, name, value, kind)
    _check_together(top, found, kind)
    problems.check()
    return DeploymentConfig(port)


def _port(top: Section, *, is_local: bool) -> int | None:
    value = top.data.get("port")
    if value is None:
        return None
    if not is_local:
        top.problem("port", "only a local service has a port", "remove it")
    elif isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        top.problem("port", "must be a whole number from 1 to 65535", "leave it out for any free one")
    else:
        return value
    return None


def _values(top: Section) -> dict[str, object]:
    """The value of each key, nested ones with a dot; unknown nested keys become problems."""
    values: dict[str, object] = {}
    nested: dict[str, list[str]] = {}
    for name in CLOUD_KEYS:
        parent, dot, child = name.partition(".")
        if dot:
            nested.setdefault(parent, []).append(child)
        else:
            values[name] = top.data.get(name)
    for parent, children in nested.items():
        section = top.section(parent, children)
        if section is not None:
            values |= {f"{parent}.{child}": section.data.get(child) for child in children}
    return values


def _check(top: Section, name: str, value: object, kind: str) -> None:
    key = CLOUD_KEYS[name]
    wanted, fits = _KINDS[key.kind]
    if not fits(value):
        top.problem(name, f"must be {wanted}")
    if kind == "local" or (kind in _CLOUDS and not _has(key, kind)):
        where = "a local service" if kind == "local" else f"`{kind}`"
        top.problem(
            name, f"{where} has no such key", f"remove it: {key.instead}" if kind == "local" else "remove it"
        )
    elif kind in _CLOUDS:
        top.problem(name, "this belongs to a service in Azure ML", key.instead)


def _check_together(top: Section, found: Mapping[str, object], kind: str) -> None:
    """Keys that are of use only together, and those that exclude each other."""
    for names, switch in _TOGETHER:
        given = [name for name in names if name in found]
        missing = [name for name in names if name not in found and name != "keyVersion"]
        wanted = bool(given) if switch is None else found.get(switch) is True
        if wanted and missing:
            top.problem(missing[0], "it is missing", f"{', '.join(names)} belong together")
    if found.get("authEnabled") is True and found.get("tokenAuthEnabled") is True:
        top.problem("tokenAuthEnabled", "keys and tokens exclude each other", "keep one of them")
    automatic = found.get("autoScaler.autoscaleEnabled")
    if automatic is True and "numReplicas" in found:
        top.problem("numReplicas", "a fixed number excludes autoscaling", "keep one of them")
    if automatic is False and "numReplicas" not in found and kind == "aks":
        top.problem("numReplicas", "it is missing", "without autoscaling the number has to be said")
    others = [
        name for name in found if name.startswith("autoScaler.") and name != "autoScaler.autoscaleEnabled"
    ]
    if automatic is False and others:
        top.problem(others[0], "autoscaling is off", "remove it")
    for name in ("cpu", "memoryInGB"):
        least = found.get(f"containerResourceRequirements.{name}")
        most = found.get(f"containerResourceRequirements.{name}Limit")
        if _is_number(least) and _is_number(most) and most < least:  # type: ignore[operator]
            top.problem(f"containerResourceRequirements.{name}Limit", f"it is below `{name}`")


def _has(key: Key, kind: str) -> bool:
    return kind in key.clouds.split() or (kind == "aksendpoint" and "aks" in key.clouds.split())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _above(least: float, *, whole: bool) -> Callable[[object], bool]:
    kinds = int if whole else (int, float)
    return lambda value: isinstance(value, kinds) and not isinstance(value, bool) and value > least


def _is_percent(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 100


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


_KINDS: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "text": ("a text", _is_text),
    "label": (
        "a text of at most 63 lower-case letters, digits and `-`",
        lambda value: isinstance(value, str) and _LABEL.fullmatch(value) is not None,
    ),
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "number": ("a number above 0", _above(0, whole=False)),
    "count": ("a whole number above 0", _above(0, whole=True)),
    "cores": ("a whole number, 0 or more", _above(-1, whole=True)),
    "percent": ("a number from 0 to 100", _is_percent),
}
