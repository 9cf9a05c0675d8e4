"""`Model`: a registered model, found, changed, downloaded, packaged and deployed under SDK v1's names."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fnpack.exceptions import ModelNotFoundException, UserErrorException
from fnpack.models.download import download
from fnpack.models.errors import ModelArgumentError
from fnpack.models.record import ModelFacts, ModelRecord
from fnpack.models.references import reference
from fnpack.models.registry import Draft, check_texts, current_user, with_added
from fnpack.models.selection import Filters, Selection
from fnpack.sdk.not_carried import not_carried_over
from fnpack.sdk.resource_configuration import ResourceConfiguration
from fnpack.sdk.workspace import Workspace
from fnpack.spec import ModelSource

if TYPE_CHECKING:
    from fnpack.sdk.inference_config import InferenceConfig
    from fnpack.sdk.model_package import ModelPackage
    from fnpack.sdk.webservice import LocalWebservice, LocalWebserviceDeploymentConfiguration

_IN_CONTAINER = "azureml-models"


class Model:
    """A model of a workspace's registry, as it was when it was read."""

    class Framework:
        """The frameworks that SDK v1 knew."""

        CUSTOM = "Custom"
        TENSORFLOW = "TensorFlow"
        SCIKITLEARN = "ScikitLearn"
        ONNX = "Onnx"
        TFKERAS = "TfKeras"
        PYTORCH = "PyTorch"
        MULTI = "Multi"

    def __init__(
        self,
        workspace: Workspace,
        name: str | None = None,
        id: str | None = None,
        tags: Filters | None = None,
        properties: Filters | None = None,
        version: int | str | None = None,
        run_id: str | None = None,
        model_framework: str | None = None,
        expand: bool = True,
        **_unused: object,
    ) -> None:
        """Find a model: by `id` (`name:version`), by name and version, else the newest one that the filters fit.

        Raises ModelNotFoundException, whose text contains `ModelNotFound`.
        """
        self.workspace = workspace
        record = _unused.get("_record")
        if isinstance(record, ModelRecord):
            self._record = record
            return
        if id is None and name is None:
            raise UserErrorException("a model's name or id is needed", hint='write Model(workspace, "name")')
        if id is not None:
            self._record = _by_id(workspace, id)
        elif version is not None:
            self._record = workspace.registry.get(str(name), _version(version))
        else:
            selection = Selection(name, tags, properties, run_id=run_id, framework=model_framework)
            found = selection.of(workspace.registry)
            if not found:
                workspace.registry.get(str(name))  # says what there is, if there is none of that name
                raise ModelNotFoundException(
                    f"ModelNotFound: no version of the model `{name}` fits the filters"
                )
            self._record = found[0]

    @staticmethod
    def register(
        workspace: Workspace,
        model_path: str,
        model_name: str,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
        datasets: Sequence[tuple[str, object]] | None = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        child_paths: Sequence[str] | None = None,
        sample_input_dataset: object = None,
        sample_output_dataset: object = None,
        resource_configuration: ResourceConfiguration | None = None,
    ) -> Model:
        """Keep a file or folder as the next version of `model_name`.

        A folder keeps its own name; with `child_paths` only those of its files. Datasets are kept by their text.
        """
        print(f"Registering model {model_name}")
        facts = ModelFacts(
            tags={} if tags is None else tags,
            properties={} if properties is None else properties,
            description=description,
            framework=model_framework,
            framework_version=model_framework_version,
            created_by=current_user(),
            sample_input_dataset=_text(sample_input_dataset),
            sample_output_dataset=_text(sample_output_dataset),
            datasets=tuple((usage, str(dataset)) for usage, dataset in datasets or ()),
            resources=None if resource_configuration is None else resource_configuration._resources(),
        )
        children = None if child_paths is None else tuple(child_paths)
        record = workspace.registry.register(Draft(model_name, Path(model_path), facts, children))
        return Model(workspace, _record=record)

    @staticmethod
    def list(
        workspace: Workspace,
        name: str | None = None,
        tags: Filters | None = None,
        properties: Filters | None = None,
        run_id: str | None = None,
        latest: bool = False,
        dataset_id: str | None = None,
        expand: bool = True,
        page_count: int = 255,
        model_framework: str | None = None,
    ) -> builtins.list[Model]:
        """The models that all filters fit: by name, the newest version first.

        `tags` and `properties` are lists of `"key"` or `["key", "value"]`.
        """
        if not 20 <= page_count <= 255:
            raise ModelArgumentError(f"page_count is {page_count}, but must be 20 to 255")
        selection = Selection(
            name,
            tags,
            properties,
            run_id=run_id,
            dataset_id=dataset_id,
            framework=model_framework,
            latest=latest,
        )
        return [Model(workspace, _record=record) for record in selection.of(workspace.registry)]

    @staticmethod
    def get_model_path(
        model_name: str, version: int | None = None, _workspace: Workspace | None = None
    ) -> str:
        """Where a model's file or folder is: in a container, below the current folder, else of a workspace.

        That of a workspace is downloaded to `azureml-models/NAME/VERSION/` first. Raises ModelNotFoundException.
        """
        from fnpack_host.scoring import sdk_v1

        if version is not None and not isinstance(version, int):
            raise UserErrorException(f"version is {version!r}, but must be a whole number")
        try:
            return sdk_v1.Model.get_model_path(model_name, version)
        except sdk_v1.ModelNotFoundException as error:
            if _workspace is None:
                raise ModelNotFoundException(
                    f"ModelNotFound: {error}",
                    hint="in a script that runs outside of an image, give `_workspace`",
                ) from error
        model = Model(_workspace, model_name, version=version)
        folder = Path(_IN_CONTAINER) / model.name / str(model.version)
        path = folder / model._record.entry
        return str(path) if path.exists() else model.download(str(folder))

    def download(self, target_dir: str = ".", exist_ok: bool = False, exists_ok: bool | None = None) -> str:
        """Copy the model's files to a folder; returns the path of the file or folder.

        Raises WebserviceException if a file is there already and `exist_ok` is not set.
        """
        replaced = exist_ok if exists_ok is None else exists_ok
        return str(download(self.workspace.registry, self._record, Path(target_dir), exist_ok=replaced))

    def update(
        self,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        sample_input_dataset: object = None,
        sample_output_dataset: object = None,
        resource_configuration: ResourceConfiguration | None = None,
    ) -> None:
        """Replace what is given; tags are replaced as a whole."""
        if tags is not None:
            check_texts("tags", tags)
        given: dict[str, object] = {
            "tags": None if tags is None else dict(tags),
            "description": description,
            "sample_input_dataset": _text(sample_input_dataset),
            "sample_output_dataset": _text(sample_output_dataset),
            "resources": None if resource_configuration is None else resource_configuration._resources(),
        }
        changes = {key: value for key, value in given.items() if value is not None}
        self._change(lambda facts: replace(facts, **changes))  # type: ignore[arg-type]

    def update_tags_properties(
        self,
        add_tags: Mapping[str, str] | None = None,
        remove_tags: Sequence[str] | None = None,
        add_properties: Mapping[str, str] | None = None,
    ) -> None:
        """Add and remove tags, and add properties, in one step. A property that is there already is an error."""
        if isinstance(remove_tags, (str, Mapping)):
            raise ModelArgumentError("remove_tags must be a list of keys", hint='write ["key"]')

        def edit(facts: ModelFacts) -> ModelFacts:
            tags = with_added("tags", facts.tags, add_tags or {})
            return replace(
                facts,
                tags={key: value for key, value in tags.items() if key not in (remove_tags or ())},
                properties=with_added("properties", facts.properties, add_properties or {}),
            )

        self._change(edit)

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Add tags; one that is there already gets the new value."""
        self.update_tags_properties(add_tags=tags)

    def remove_tags(self, tags: Sequence[str]) -> None:
        """Remove tags by their keys."""
        self.update_tags_properties(remove_tags=tags)

    def add_properties(self, properties: Mapping[str, str]) -> None:
        """Add properties, which never change: one that is there already raises WebserviceException."""
        self.update_tags_properties(add_properties=properties)

    def add_dataset_references(self, datasets: Sequence[tuple[str, object]]) -> None:
        """Note datasets that the model was used with, each as (what for, which)."""
        added = tuple((usage, str(dataset)) for usage, dataset in datasets)
        self._change(lambda facts: replace(facts, datasets=tuple(dict.fromkeys(facts.datasets + added))))

    def delete(self) -> None:
        """Delete this version. Raises WebserviceException while a service or a package uses it."""
        self.workspace.registry.delete(self.name, self.version)

    def serialize(self) -> dict[str, object]:
        """All that is known, under SDK v1's keys."""
        facts, resources = self._record.facts, self.resource_configuration
        return {
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "createdTime": self.created_time.isoformat(),
            "createdBy": facts.created_by,
            "description": facts.description,
            "mimeType": self.mime_type,
            "framework": facts.framework,
            "frameworkVersion": facts.framework_version,
            "tags": self.tags,
            "properties": self.properties,
            "unpack": self.unpack,
            "url": self.url,
            "experimentName": facts.experiment_name,
            "runId": facts.run_id,
            "runDetails": None,
            "datasets": [{"name": usage, "id": dataset} for usage, dataset in facts.datasets],
            "resourceConfiguration": None if resources is None else resources.serialize(),
            "sampleInputDatasetId": facts.sample_input_dataset,
            "sampleOutputDatasetId": facts.sample_output_dataset,
        }

    @staticmethod
    def deploy(
        workspace: Workspace,
        name: str,
        models: Sequence[Model | str],
        inference_config: InferenceConfig | None = None,
        deployment_config: LocalWebserviceDeploymentConfiguration | None = None,
        deployment_target: object = None,
        overwrite: bool = False,
        show_output: bool = False,
    ) -> LocalWebservice:
        """Start a service on this machine. `models` may mix models, ids (`name:version`) and local paths."""
        from fnpack.sdk.webservice import deploy

        service = deploy(
            workspace,
            name,
            models,
            inference_config,
            deployment_config,
            deployment_target,
            overwrite=overwrite,
        )
        if show_output:
            service.wait_for_deployment(show_output=True)
        return service

    @staticmethod
    def package(
        workspace: Workspace,
        models: Sequence[Model | str],
        inference_config: InferenceConfig | None = None,
        generate_dockerfile: bool = False,
        image_name: str | None = None,
        image_label: str | None = None,
    ) -> ModelPackage:
        """Build an image that scores HTTP requests without a key, or with `generate_dockerfile` its context alone."""
        from fnpack.sdk.package import package_image

        return package_image(
            workspace, models, inference_config, generate_dockerfile, name=image_name, label=image_label
        )

    @staticmethod
    def profile(workspace: Workspace, *_unused: object, **_also_unused: object) -> NoReturn:
        """Not carried over: there is no cloud that runs the service."""
        not_carried_over(
            "Model.profile",
            "start a LocalWebservice or the image with `docker run --cpus --memory`, and measure there",
        )

    def get_sas_urls(self) -> NoReturn:
        """Not carried over: files need no signed address here."""
        not_carried_over("Model.get_sas_urls", "`download` the model")

    @property
    def id(self) -> str:
        """`name:version`."""
        return self._record.id

    @property
    def name(self) -> str:
        """The name."""
        return self._record.name

    @property
    def version(self) -> int:
        """The version."""
        return self._record.version

    @property
    def tags(self) -> dict[str, str]:
        """The tags, a copy."""
        return dict(self._record.facts.tags)

    @property
    def properties(self) -> dict[str, str]:
        """The properties, a copy."""
        return dict(self._record.facts.properties)

    @property
    def description(self) -> str | None:
        """What it is."""
        return self._record.facts.description

    @property
    def created_by(self) -> str | None:
        """Who registered it."""
        return self._record.facts.created_by

    @property
    def created_time(self) -> datetime:
        """When it was registered."""
        return self._record.created_time

    @property
    def mime_type(self) -> str:
        """`application/octet-stream`, or `application/x-directory` for a folder."""
        return "application/x-directory" if self._record.is_folder else "application/octet-stream"

    @property
    def model_framework(self) -> str | None:
        """The framework."""
        return self._record.facts.framework

    @property
    def model_framework_version(self) -> str | None:
        """The framework's version."""
        return self._record.facts.framework_version

    @property
    def unpack(self) -> bool:
        """False: files are kept as they are."""
        return False

    @property
    def url(self) -> str:
        """Registry and id."""
        return f"{self.workspace.registry.location}#{self.id}"

    @property
    def experiment_name(self) -> str | None:
        """The experiment that made it."""
        return self._record.facts.experiment_name

    @property
    def run_id(self) -> str | None:
        """The run that made it."""
        return self._record.facts.run_id

    @property
    def parent_id(self) -> str | None:
        """The model that it was made from."""
        return self._record.facts.parent_id

    @property
    def datasets(self) -> dict[str, builtins.list[str]]:
        """The datasets that it was used with, by what for."""
        found: dict[str, builtins.list[str]] = {}
        for usage, dataset in self._record.facts.datasets:
            found.setdefault(usage, []).append(dataset)
        return found

    @property
    def sample_input_dataset(self) -> str | None:
        """What inputs look like."""
        return self._record.facts.sample_input_dataset

    @property
    def sample_output_dataset(self) -> str | None:
        """What outputs look like."""
        return self._record.facts.sample_output_dataset

    @property
    def resource_configuration(self) -> ResourceConfiguration | None:
        """What a service of it should get."""
        resources = self._record.facts.resources
        if resources is None:
            return None
        return ResourceConfiguration(resources.cpu, resources.memory_in_gb, resources.gpu)

    def __repr__(self) -> str:
        return f"Model(name={self.name!r}, version={self.version}, tags={self.tags}, properties={self.properties})"

    def _change(self, edit: Callable[[ModelFacts], ModelFacts]) -> None:
        self._record = self.workspace.registry.change(
            self.name, self.version, lambda old: replace(old, facts=edit(old.facts))
        )


def resolve(workspace: Workspace, models: Sequence[Model | str]) -> builtins.list[Model]:
    """The registered models among `models`: Model objects, and texts that are ids. Raises ModelNotFoundException."""
    found = []
    for model in models:
        if isinstance(model, Model):
            found.append(model)
        elif not Path(model).exists():
            found.append(Model(workspace, _record=_by_id(workspace, model)))
    return found


def model_sources(
    workspace: Workspace, models: Sequence[Model | str]
) -> tuple[builtins.list[Model], builtins.list[ModelSource]]:
    """The registered models among `models`, and all of them as files of this machine.

    A local path is version 0 of its base name. Raises ModelNotFoundException.
    """
    registered = resolve(workspace, models)
    sources = [
        ModelSource(
            model.name,
            workspace.registry.checkout(model._record),
            str(model.version),
            model.model_framework,
            model.model_framework_version,
        )
        for model in registered
    ]
    local = (Path(model).absolute() for model in models if isinstance(model, str) and Path(model).exists())
    return registered, sources + [ModelSource(path.name[:30], path, "0") for path in local]


def _by_id(workspace: Workspace, model_id: str) -> ModelRecord:
    wanted = reference(model_id)
    if wanted is None:
        raise ModelNotFoundException(
            f"ModelNotFound: `{model_id}` is neither a model's id nor a path that exists",
            hint="an id is `name:version`",
        )
    return workspace.registry.get(wanted.name, wanted.version)


def _version(version: int | str) -> int:
    if isinstance(version, bool) or not str(version).isdecimal():
        raise UserErrorException(f"version is {version!r}, but must be a whole number")
    return int(version)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
