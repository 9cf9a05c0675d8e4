"""Models straight from MLflow: `models:/name/version`, `models:/name@alias`, `runs:/run/path`. It only reads."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from fnpack.config import redact
from fnpack.models.claims import claimed
from fnpack.models.content import digest_of
from fnpack.models.errors import MlflowError
from fnpack.progress import Progress, ProgressEvent
from fnpack.spec import ModelSource
from fnpack.workspace_folder import find

_MODEL = re.compile(r"models:/+([^/@]+)(?:/([^/@]+)|@([^/@]+))?")
_RUN = re.compile(r"runs:/+([^/]+)/(.+?)/*")
_FORMS = "write models:/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/latest or runs:/RUN/PATH"


def fetch(uri: str, folder: Path, progress: Progress) -> ModelSource:
    """Download the model into the cache of the workspace near `folder`, anew each time: a run's files may change."""
    workspace = find(folder)
    if workspace is None:  # cannot be: it is made
        raise AssertionError("no workspace")
    try:
        import mlflow
    except ImportError as error:
        raise MlflowError(
            f"{uri}: MLflow is not installed", hint="pip install mlflow-skinny, or give the model's path"
        ) from error
    name, version, exact = _resolved(uri)
    home = (
        workspace.cache
        / "mlflow"
        / hashlib.sha256(f"{mlflow.get_tracking_uri()} {exact}".encode()).hexdigest()[:16]
    )
    step = f"download {redact.addresses(uri)}"
    progress(ProgressEvent(step, "started"))
    with claimed(home.parent / "staging") as staging:
        target = staging / "model" / name
        target.mkdir(parents=True)
        try:
            found = Path(mlflow.artifacts.download_artifacts(artifact_uri=exact, dst_path=str(target)))
        except Exception as error:
            progress(ProgressEvent(step, "failed"))
            raise _refused(uri, error) from error
        inside = found.relative_to(target) if found.is_relative_to(target) else Path()
        if not any(path.is_file() for path in target.rglob("*")):
            raise MlflowError(f"{uri} holds no file", hint="check the name with `mlflow artifacts list`")
        if _digests(staging / "model") != _digests(home):  # else another build may be reading it
            shutil.rmtree(home, ignore_errors=True)
            home.parent.mkdir(parents=True, exist_ok=True)
            (staging / "model").rename(home)
    progress(ProgressEvent(step, "done"))
    path = home / name / inside
    return ModelSource(_as_name(path.stem) if path.is_file() else name, path, version)


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_of(path)[0] for path in files}


def _resolved(uri: str) -> tuple[str, str, str]:
    """A name for the model, its version, and the URI with alias and `latest` replaced by the version."""
    run = _RUN.fullmatch(uri)
    if run:
        return _as_name(run[2].rpartition("/")[2]), "1", uri
    model = _MODEL.fullmatch(uri)
    if model is None:
        raise MlflowError(f"`{uri}` is no address of a model in MLflow", hint=_FORMS)
    name, version, alias = model[1], model[2], model[3]
    from mlflow import MlflowClient

    try:
        client = MlflowClient()
        if alias is not None:
            version = str(client.get_model_version_by_alias(name, alias).version)
        elif version is None or version == "latest":
            found = client.search_model_versions(f"name = '{name}'")
            if not found:
                raise MlflowError(
                    f"MLflow holds no model `{name}`", hint="check MLFLOW_TRACKING_URI and the name"
                )
            version = str(max(int(one.version) for one in found))
    except MlflowError:
        raise
    except Exception as error:
        raise _refused(uri, error) from error
    if not version.isdecimal():
        raise MlflowError(f"`{uri}`: a stage is not supported, since MLflow has given stages up", hint=_FORMS)
    return _as_name(name), version, f"models:/{name}/{version}"


def _as_name(text: str) -> str:
    """The text as a model's name can be."""
    kept = re.sub(r"[^A-Za-z0-9._-]", "-", text).lstrip("-._")[:255]
    return kept or "model"


def _refused(uri: str, error: Exception) -> MlflowError:
    first = redact.addresses(str(error).strip().partition("\n")[0])[:300]
    return MlflowError(
        f"{uri} cannot be taken from MLflow: {type(error).__name__}: {first}",
        hint="check MLFLOW_TRACKING_URI, its credentials, and the model's name",
    )
