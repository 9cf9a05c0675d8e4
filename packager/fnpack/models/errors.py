"""What can go wrong with a model registry. A model that is not there is `fnpack.exceptions.ModelNotFoundException`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fnpack.exceptions import ModelNotFoundException, WebserviceException


class RegistryError(WebserviceException):
    """The registry cannot be read or written: a full disk, no permission, a service that refuses."""

    code = "FN524"


class RegistryUnfit(WebserviceException):
    """This kind of storage cannot hold a registry: it cannot create a file only where there is none."""

    code = "FN526"


class ModelInUse(WebserviceException):
    """A model cannot be deleted, because a service or a package uses it."""

    code = "FN527"

    def __init__(self, model_id: str, users: Iterable[str]) -> None:
        named = ", ".join(sorted(users))
        super().__init__(
            f"model {model_id} cannot be deleted because it is currently being used in one or more images: {named}",
            hint="delete the service or the package first; `fnpack model delete --force` deletes the model alone",
        )


class ModelArgumentError(WebserviceException):
    """A model's name, version, tags or other facts break SDK v1's rules."""

    code = "FN513"


class ModelExists(WebserviceException):
    """A download would overwrite a file."""

    code = "FN514"


class ContentDamaged(WebserviceException):
    """What the registry holds for a model is incomplete or not what was registered."""

    code = "FN515"


class MlflowError(WebserviceException):
    """A model cannot be taken from MLflow: it is not installed, or it refused."""

    code = "FN516"


def not_found(model_id: str, known: Collection[tuple[str, int]] = ()) -> ModelNotFoundException:
    """The error for a model that is not there, with what may have been meant of the `known` names and versions."""
    from fnpack.config.suggest import did_you_mean

    name = model_id.partition(":")[0]
    versions = sorted(version for other, version in known if other == name)
    if versions:
        shown = ", ".join(map(str, versions[-5:]))
        near: str | None = (
            f"its versions are {shown}" if len(versions) < 6 else f"its last versions are {shown}"
        )
    else:
        near = did_you_mean(name, tuple(other for other, _ in known))
    return ModelNotFoundException(
        f"ModelNotFound: the registry holds no model `{model_id}`" + (f"; {near}" if near else ""),
        hint="`fnpack model list` shows what it holds",
    )
