"""`LocalWebservice`: a model and its script as a service on this machine, in a process of its own, without Docker."""

from __future__ import annotations

import builtins
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from fnpack.config.deployment import read_deployment_config
from fnpack.exceptions import UserErrorException, WebserviceException
from fnpack.sdk.inference_config import InferenceConfig
from fnpack.sdk.model import Model
from fnpack.sdk.not_carried import DEPLOY, AciWebservice, AksEndpoint, AksWebservice, not_carried_over
from fnpack.sdk.service import Service, WebserviceNotFound
from fnpack.sdk.workspace import Workspace

__all__ = [
    "AciWebservice",
    "AksEndpoint",
    "AksWebservice",
    "LocalWebservice",
    "LocalWebserviceDeploymentConfiguration",
    "Webservice",
]

_NAME = re.compile(r"[a-z](?=.{2,31}$)[-a-z0-9]*[a-z0-9]")
_NAME_RULE = "a service's name has 3 to 32 lower-case letters, digits and `-`, a letter first, no `-` last"
_KEYS = "a local service asks for no key: it listens on this machine only"


class ServiceStateError(WebserviceException):
    """A method cannot be called in the state that the service is in."""

    code = "FN518"


class LocalWebserviceDeploymentConfiguration:
    """Where a local service listens: `port`, or any free one."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port
        self.validate_configuration()

    @classmethod
    def from_file(cls, path: str) -> LocalWebserviceDeploymentConfiguration:
        """What a deploymentconfig.json says. Raises ConfigurationError for one that is not for a local service."""
        return cls(read_deployment_config(Path(path)).port)

    def validate_configuration(self) -> None:
        """Raise UserErrorException unless the port can be one."""
        if self.port is not None and (isinstance(self.port, bool) or not 1 <= self.port <= 65535):
            raise UserErrorException(
                f"port is {self.port!r}, but must be 1 to 65535, or None for any free one"
            )

    def print_deploy_configuration(self) -> None:
        """Print it."""
        print(f"Port: {self.port or 'any free one'}")


class Webservice:
    """A service of a workspace; `Webservice(workspace, name)` is a LocalWebservice. Raises WebserviceNotFound."""

    def __new__(cls, workspace: Workspace, name: str, must_exist: bool = True) -> LocalWebservice:
        """Every service is a local one."""
        made: LocalWebservice = super().__new__(LocalWebservice)
        return made

    @staticmethod
    def list(
        workspace: Workspace,
        compute_type: str | None = None,
        image_name: str | None = None,
        image_id: str | None = None,
        model_name: str | None = None,
        model_id: str | None = None,
        tags: object = None,
        properties: object = None,
        image_digest: str | None = None,
    ) -> builtins.list[LocalWebservice]:
        """The services of the workspace, by name; with `model_name` or `model_id` those that use that model."""
        if compute_type is not None and compute_type.casefold() != "local":
            return []
        services = [LocalWebservice(workspace, name) for name in Service.names(workspace)]
        return [service for service in services if service._uses(model_name, model_id)]

    @staticmethod
    def deploy(workspace: Workspace, *_unused: object, **_also_unused: object) -> NoReturn:
        """Not carried over: the older way to deploy."""
        not_carried_over(
            "Webservice.deploy", "`Model.deploy(workspace, name, models, inference_config, config)`"
        )

    @staticmethod
    def deploy_from_model(workspace: Workspace, *_unused: object, **_also_unused: object) -> NoReturn:
        """Not carried over: the older way to deploy."""
        not_carried_over(
            "Webservice.deploy_from_model",
            "`Model.deploy(workspace, name, models, inference_config, config)`",
        )

    @staticmethod
    def deploy_from_image(workspace: Workspace, *_unused: object, **_also_unused: object) -> NoReturn:
        """Not carried over: an image is run by docker or a platform."""
        not_carried_over("Webservice.deploy_from_image", DEPLOY)


class LocalWebservice(Webservice):
    """A service on this machine, at 127.0.0.1. It goes on after the script that started it has ended."""

    STATE_DEPLOYING = "deploying"
    STATE_RUNNING = "running"
    STATE_FAILED = "failed"
    STATE_DELETED = "deleted"
    STATE_UNKNOWN = "unknown"

    def __init__(self, workspace: Workspace, name: str, must_exist: bool = True) -> None:
        self.workspace, self.name = workspace, name
        self._service = Service(workspace, name)
        self._deleted = False
        if must_exist and not self._service.exists:
            raise WebserviceNotFound(name)

    @staticmethod
    def deploy_configuration(port: int | None = None) -> LocalWebserviceDeploymentConfiguration:
        """Where it listens: `port`, or any free one."""
        return LocalWebserviceDeploymentConfiguration(port)

    @property
    def compute_type(self) -> str:
        """`Local`."""
        return "Local"

    @property
    def state(self) -> str:
        """`deploying`, `running`, `failed`, `deleted` or `unknown`, as it is now."""
        if self._deleted:
            return self.STATE_DELETED
        return self._service.state

    @property
    def port(self) -> int | None:
        """The port, as soon as it is known."""
        return self._service.port

    @property
    def scoring_uri(self) -> str | None:
        """Where requests go, as soon as the port is known."""
        return f"http://localhost:{self.port}/score" if self.port else None

    @property
    def swagger_uri(self) -> str | None:
        """Where the OpenAPI document is."""
        return f"http://localhost:{self.port}/swagger.json" if self.port else None

    @property
    def error(self) -> str | None:
        """The end of the log of a service that failed."""
        return self._service.log(20) if self.state == self.STATE_FAILED else None

    @property
    def models(self) -> builtins.list[Model]:
        """The registered models that it uses."""
        return [Model(self.workspace, id=model) for model in self._service.facts.models if ":" in model]

    @property
    def auth_enabled(self) -> bool:
        """False."""
        return False

    @property
    def token_auth_enabled(self) -> bool:
        """False."""
        return False

    def wait_for_deployment(self, show_output: bool = False, timeout_sec: float | None = None) -> None:
        """Wait until the service answers. Raises WebserviceException if it fails, or if the time is up."""
        self._check("wait_for_deployment", self.STATE_DEPLOYING, self.STATE_RUNNING, self.STATE_FAILED)
        url = self._service.wait(timeout_sec)
        if show_output:
            print(f"Local webservice is running at {url.replace('127.0.0.1', 'localhost')}")

    def update_deployment_state(self, must_exist: bool = False) -> None:
        """Nothing to do: `state` is always what it is now. With `must_exist` raises WebserviceNotFound."""
        if must_exist and not self._service.exists:
            raise WebserviceNotFound(self.name)

    def run(self, input_data: str | bytes) -> object:
        """Score text or bytes; returns the parsed JSON, or the text where the script answers with text.

        Raises WebserviceException with status code, headers and content of any answer but 200.
        """
        self._check("run", self.STATE_DEPLOYING, self.STATE_RUNNING)
        if not isinstance(input_data, (str, bytes)):
            raise UserErrorException(
                f"input_data is a {type(input_data).__name__}, but must be text or bytes",
                hint="use json.dumps",
            )
        return self._service.score(input_data)

    def get_logs(self, num_lines: int = 5000, raw: bool = False, init: bool = False) -> str:
        """The last lines of what host and script have said."""
        self._check("get_logs", self.STATE_DEPLOYING, self.STATE_FAILED, self.STATE_RUNNING)
        return self._service.log(num_lines)

    def reload(self, wait: bool = False) -> None:
        """Take script and source directory again as they are now, and start anew."""
        self._check("reload", self.STATE_DEPLOYING, self.STATE_FAILED, self.STATE_RUNNING)
        self._service.reload()
        if wait:
            self.wait_for_deployment()

    def update(
        self,
        models: Sequence[Model | str] | None = None,
        image_config: None = None,
        deployment_config: LocalWebserviceDeploymentConfiguration | None = None,
        wait: bool = False,
        inference_config: InferenceConfig | None = None,
    ) -> None:
        """Replace models, configuration or port, and start anew; what is not given stays."""
        self._check("update", self.STATE_DEPLOYING, self.STATE_FAILED, self.STATE_RUNNING, self.STATE_UNKNOWN)
        if models is None and inference_config is None and deployment_config is None:
            raise UserErrorException(
                "nothing to update is given", hint="give models, inference_config or both"
            )
        self._service.update(
            models, inference_config, None if deployment_config is None else deployment_config.port
        )
        if wait:
            self.wait_for_deployment()

    def delete(
        self, delete_cache: bool = True, delete_image: bool = False, delete_volume: bool = True
    ) -> None:
        """Stop the service and remove all that it has; its models are free to be deleted."""
        self._check("delete", self.STATE_DEPLOYING, self.STATE_FAILED, self.STATE_RUNNING, self.STATE_UNKNOWN)
        self._service.remove()
        self._deleted = True

    def serialize(self) -> dict[str, object]:
        """Name, state and place."""
        return {
            "name": self.name,
            "computeType": self.compute_type,
            "state": self.state,
            "port": self.port,
            "scoringUri": self.scoring_uri,
            "swaggerUri": self.swagger_uri,
        }

    def deploy_to_cloud(
        self, name: str | None = None, deployment_config: object = None, deployment_target: object = None
    ) -> NoReturn:
        """Not carried over: an image goes to a cloud."""
        not_carried_over("LocalWebservice.deploy_to_cloud", DEPLOY)

    def get_keys(self) -> NoReturn:
        """There are none."""
        raise NotImplementedError(_KEYS)

    def regen_key(self, key: str, set_key: str | None = None) -> NoReturn:
        """There are none."""
        raise NotImplementedError(_KEYS)

    def get_token(self) -> NoReturn:
        """There is none."""
        raise NotImplementedError(_KEYS)

    def __repr__(self) -> str:
        return f"LocalWebservice(name={self.name!r}, state={self.state!r}, scoring_uri={self.scoring_uri!r})"

    def _uses(self, model_name: str | None, model_id: str | None) -> bool:
        ids = [model for model in self._service.facts.models if ":" in model]
        return (model_id is None or model_id in ids) and (
            model_name is None or model_name in [model.rpartition(":")[0] for model in ids]
        )

    def _check(self, method: str, *states: str) -> None:
        state = self.state
        if state not in states:
            raise ServiceStateError(f"Cannot call {method}() when service is {state}")


def deploy(
    workspace: Workspace,
    name: str,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None,
    config: LocalWebserviceDeploymentConfiguration | None,
    target: object,
    *,
    overwrite: bool,
) -> LocalWebservice:
    """Start a local service of that name; an earlier one is replaced only with `overwrite`.

    Without an `inference_config` the one model is served by the built-in script for it.
    """
    if config is None or target is not None:
        what = (
            "a deployment target"
            if target is not None
            else "Model.deploy without deployment_config (in SDK v1: ACI)"
        )
        not_carried_over(what, DEPLOY)
    if not isinstance(config, LocalWebserviceDeploymentConfiguration):
        raise UserErrorException(
            f"deployment_config is a {type(config).__name__}",
            hint="use LocalWebservice.deploy_configuration(port=...)",
        )
    if not _NAME.fullmatch(name):
        raise UserErrorException(f"`{name}` cannot be the name of a service", hint=_NAME_RULE)
    service = Service(workspace, name)
    if service.exists:
        if not overwrite:
            raise WebserviceException(
                f"a service `{name}` is there already", hint="overwrite=True replaces it; `update` changes it"
            )
        service.remove()
    service.create(models, inference_config, config.port)
    return LocalWebservice(workspace, name)
