"""Where each name of SDK v1 is now, and what to use instead of those that were not carried over."""

from __future__ import annotations

_ENVIRONMENT = "fnpack.core.environment"
_WEBSERVICE = "fnpack.core.webservice"

# SDK v1's modules, the modules that they are now, and the names that are there.
MODULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "azureml.core": (
        "fnpack.core",
        ("ContainerRegistry", "Environment", "Model", "VERSION", "Webservice", "Workspace"),
    ),
    "azureml.core.workspace": ("fnpack.core.workspace", ("Workspace",)),
    "azureml.core.model": ("fnpack.core.model", ("InferenceConfig", "Model", "ModelPackage")),
    "azureml.core.environment": (
        _ENVIRONMENT,
        (
            "CondaDependencies",
            "DEFAULT_CPU_IMAGE",
            "DockerImagePlatform",
            "DockerSection",
            "Environment",
            "PythonSection",
            "SparkSection",
        ),
    ),
    "azureml.core.runconfig": (_ENVIRONMENT, ("CondaDependencies", "DEFAULT_CPU_IMAGE")),
    "azureml.core.conda_dependencies": ("fnpack.core.conda_dependencies", ("CondaDependencies",)),
    "azureml.core.container_registry": ("fnpack.core.container_registry", ("ContainerRegistry",)),
    "azureml.core.resource_configuration": ("fnpack.core.resource_configuration", ("ResourceConfiguration",)),
    "azureml.core.webservice": (
        _WEBSERVICE,
        ("AciWebservice", "AksEndpoint", "AksWebservice", "LocalWebservice", "Webservice"),
    ),
    "azureml.core.webservice.webservice": (_WEBSERVICE, ("Webservice",)),
    "azureml.core.webservice.local": (
        _WEBSERVICE,
        ("LocalWebservice", "LocalWebserviceDeploymentConfiguration"),
    ),
    "azureml.core.webservice.aci": (_WEBSERVICE, ("AciWebservice",)),
    "azureml.core.webservice.aks": (_WEBSERVICE, ("AksEndpoint", "AksWebservice")),
    "azureml.contrib.functions": (
        "fnpack.contrib.functions",
        (
            "BLOB_TRIGGER",
            "HTTP_TRIGGER",
            "SERVICE_BUS_QUEUE_TRIGGER",
            "package",
            "package_blob",
            "package_http",
            "package_service_bus_queue",
        ),
    ),
    "azureml.exceptions": (
        "fnpack.exceptions",
        (
            "AzureMLException",
            "ModelNotFoundException",
            "ModelPathNotFoundException",
            "UserErrorException",
            "WebserviceException",
            "WorkspaceException",
        ),
    ),
}

# Modules of entry scripts: they work as they are, in images and in `fnpack run`.
ENTRY_SCRIPT_MODULES = (
    "azureml.contrib.services",
    "azureml.monitoring",
    "azureml.ai.monitoring",
    "azureml_inference_server_http",
)

_TRACK = "track runs with MLflow; `fnpack build --model runs:/RUN/PATH` takes a run's model"
_DATA = "read data with the library of where it is: fsspec, azure-storage-blob, pandas"
_COMPUTE = "an image runs where you start it: Azure Functions, Container Apps, Kubernetes, a VM"
_CLOUD_SERVICE = "build an image (`package_http` or `fnpack build`) and run it on the platform of your choice"
_TRAIN = "train with the framework itself, then register the model's file"
_LOGIN = "a local workspace needs no login: remove it, and `auth=`"

# Names that are not carried over, with what to use instead.
INSTEAD: dict[str, str] = {
    "AmlCompute": _COMPUTE,
    "AksCompute": _COMPUTE,
    "ComputeInstance": _COMPUTE,
    "ComputeTarget": _COMPUTE,
    "Dataset": _DATA,
    "Datastore": _DATA,
    "DockerBuildContext": "build that image first and name it in `docker.base_image`",
    "EnvironmentReference": "use `Environment.get(workspace, name, version)`",
    "Experiment": _TRACK,
    "Image": "use `package(...)`, which returns a ModelPackage",
    "ContainerImage": "use `InferenceConfig` and `package(...)`",
    "InteractiveLoginAuthentication": _LOGIN,
    "AzureCliAuthentication": _LOGIN,
    "MsiAuthentication": _LOGIN,
    "ServicePrincipalAuthentication": _LOGIN,
    "Keyvault": "pass secrets as app settings where the image runs",
    "RSection": "only Python scripts can be built",
    "Run": _TRACK,
    "RunConfiguration": _TRAIN,
    "ScriptRun": _TRACK,
    "ScriptRunConfig": _TRAIN,
    "get_run": _TRACK,
}
# Modules that are not carried over; the longest that fits counts.
INSTEAD_OF_MODULES: dict[str, str] = {
    "azureml": "remove it, or use what does the same outside of Azure ML",
    "azureml.core.authentication": _LOGIN,
    "azureml.core.compute": _COMPUTE,
    "azureml.core.compute_target": _COMPUTE,
    "azureml.core.dataset": _DATA,
    "azureml.core.datastore": _DATA,
    "azureml.core.experiment": _TRACK,
    "azureml.core.image": "use `InferenceConfig` and `package(...)`",
    "azureml.core.keyvault": "pass secrets as app settings where the image runs",
    "azureml.core.profile": "measure a LocalWebservice or the image with `docker run --cpus --memory`",
    "azureml.core.run": _TRACK,
    "azureml.core.script_run": _TRACK,
    "azureml.core.script_run_config": _TRAIN,
    "azureml.data": _DATA,
    "azureml.dataprep": _DATA,
    "azureml.interpret": "use shap or interpret themselves",
    "azureml.mlflow": "use MLflow itself; MLFLOW_TRACKING_URI names the server",
    "azureml.opendatasets": _DATA,
    "azureml.pipeline": "score batches with a blob trigger: each file that lands is scored",
    "azureml.telemetry": "remove it",
    "azureml.train": _TRAIN,
    "azureml.widgets": _TRACK,
}
# Methods, attributes and arguments that are not carried over; `Class.name` only of that class.
INSTEAD_OF_MEMBERS: dict[str, str] = {
    "AciWebservice.deploy_configuration": _CLOUD_SERVICE,
    "AksEndpoint.deploy_configuration": _CLOUD_SERVICE,
    "AksWebservice.deploy_configuration": _CLOUD_SERVICE,
    "Environment.add_private_pip_wheel": "put the wheel into a folder and name that in PIP_FIND_LINKS",
    "Environment.from_docker_build_context": "build that image first, then `Environment.from_docker_image`",
    "Environment.from_dockerfile": "build that image first, then `Environment.from_docker_image`",
    "Environment.from_existing_conda_environment": "`conda env export`, then `Environment.from_conda_specification`",
    "Model.profile": "measure a LocalWebservice or the image with `docker run --cpus --memory`",
    "Run.get_context": _TRACK,
    "Webservice.deploy": "use `Model.deploy`",
    "Webservice.deploy_from_image": _CLOUD_SERVICE,
    "Webservice.deploy_from_model": "use `Model.deploy`",
    "base_dockerfile": "build that image first and name it in `docker.base_image`",
    "deploy_to_cloud": _CLOUD_SERVICE,
    "get_default_datastore": _DATA,
    "get_default_keyvault": "pass secrets as app settings where the image runs",
    "get_sas_urls": "`download` the model",
    "register_model": "`Model.register(workspace, model_path, model_name)` with the downloaded file",
}


def instead(module: str, name: str | None = None) -> str:
    """What to use instead of a name, or of all of a module."""
    if name is not None and name in INSTEAD:
        return INSTEAD[name]
    fits = [known for known in INSTEAD_OF_MODULES if module == known or module.startswith(f"{known}.")]
    return INSTEAD_OF_MODULES[max(fits, key=len)]


def new_module(module: str, name: str) -> str | None:
    """The module that `name` of an old module is imported from now; None where it is not carried over."""
    if f"{module}.{name}" in MODULES:  # a module imported by its name
        target = MODULES[f"{module}.{name}"][0]
        return target.rpartition(".")[0] if target.rpartition(".")[2] == name else None
    target, names = MODULES.get(module, ("", ()))
    return target if name in names else None


def is_entry_script_module(module: str) -> bool:
    """Whether entry scripts import it, and go on to."""
    return any(module == known or module.startswith(f"{known}.") for known in ENTRY_SCRIPT_MODULES)
