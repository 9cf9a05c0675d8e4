"""Completes the merged settings of a build: reads what they name, checks all of it together, and freezes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fnpack.config.files import label
from fnpack.config.image_names import fault_of_image, registry_of
from fnpack.config.outputs import complete_outputs
from fnpack.config.problems import Problems
from fnpack.config.project import RawSettings
from fnpack.config.requirements import read_requirements, without_server
from fnpack.config.sources import ModelFinder, absolute, find_models, find_script, names_script
from fnpack.config.suggest import did_you_mean_or_list, one_of
from fnpack.config.trigger_options import complete_triggers
from fnpack.errors import ConfigurationError
from fnpack.spec import AppSpec, Environment, LockMode, ModelSource, RegistryLogin

if TYPE_CHECKING:
    from fnpack.config.built_in import BuiltIn
    from fnpack.config.inference import InferenceConfig
    from fnpack.no_code.found import Found

HOSTS = ("fnpack", "azure-functions")
PLATFORMS = ("linux/amd64", "linux/arm64")
BUILDERS = ("oci", "docker", "dockerfile")
CHECK_TIMEOUT_S = 600.0  # init() may load a large model
OUTPUTS = ("registry", "engine", "oci-layout", "docker-archive")
_SBOM_WORDS = {"attach": True, "none": False}
LOCAL_BASES = ("oci-layout:", "docker-archive:")
PYTHON_VERSIONS = ("3.10", "3.11", "3.12", "3.13")  # of fnpack's host, and of Microsoft's base image


class BuildSettings(NamedTuple):
    """All that a build needs to know. `None` means: not said, the image builder chooses.

    `base_image` is also `app.environment.base_image`. `platform` is `linux/amd64` style, `python_version` `3.11`.
    With `identity` the host in the image can sign in without a connection string. `project` is the folder that keeps
    the lock file; None for the entry script's. `lock_mode` says what becomes of it: `upgrade` takes new versions, with
    `locked` it is not to be changed. `platforms` are all that are asked for, `platform` is the first. `output` is
    `registry`, `engine`, `oci-layout[:PATH]` or `docker-archive[:PATH]`. With `check` the app is tried before its image
    goes anywhere, with the input `sample` if there is one. `attach_sbom` says whether images in registries and
    OCI layouts get an SBOM, None that those in registries do; `sbom_file` is written in any case.
    """

    app: AppSpec
    host: str = "fnpack"
    base_image: str | None = None
    platform: str | None = None
    python_version: str | None = None
    tag: str | None = None
    push: bool = False
    identity: bool = False
    project: Path | None = None
    lock_mode: LockMode = "reuse"
    platforms: tuple[str, ...] = ()
    builder: str = "oci"
    output: str | None = None
    insecure_registries: tuple[str, ...] = ()
    attach_sbom: bool | None = None
    sbom_file: Path | None = None
    check: bool = True
    sample: Path | None = None
    check_timeout_s: float = CHECK_TIMEOUT_S

    @property
    def logins(self) -> tuple[RegistryLogin, ...]:
        """The login that the configuration has for the base image's registry."""
        login = self.app.environment.base_image_registry
        return (login,) if login is not None else ()


class _Given(NamedTuple):
    """A value and where it was given, for messages."""

    value: str
    source: str


def complete(
    raw: RawSettings, finder: ModelFinder | None = None, models: Sequence[ModelSource] | None = None
) -> BuildSettings:
    """Read, check and complete. Raises ConfigurationError with every problem of every file and option.

    `finder` finds the models that are not given by a path; `models` are given in the place of all that `raw` names.
    Where no script is named, the one model's own is made, in fnpack's cache.
    """
    problems = Problems()
    config = _inference_config(raw, problems)
    is_named = names_script(raw, config) if models is None else config is not None or not models
    script, directory = find_script(raw, config, problems) if is_named else (None, None)
    models = find_models(raw, problems, finder) if models is None else models
    built_in = None if is_named else _built_in(models, problems)
    script = built_in.script if built_in is not None else script
    triggers = complete_triggers(raw, problems)
    outputs = complete_outputs(raw, triggers, problems)
    environment = _environment(raw, config, problems)
    host = _host(raw, problems)
    platforms = _platforms(raw, config, host, problems)
    python_version = _python_version(raw, config, problems)
    if built_in is not None:
        from fnpack.config.built_in import with_packages

        environment = with_packages(environment, built_in.found, models[0])
        python_version = python_version or _python_of(built_in.found, raw, environment)
    environment = environment._replace(python_version=python_version)
    environment = _with_conda(raw, environment, host, problems)
    environment = _with_base_image(raw, environment, problems)
    tag, push, identity = _tag(raw, problems), _switch(raw, "push"), _switch(raw, "identity")
    if push and tag is None:
        problems.add("--push", "there is no name to push to", "give `--tag registry.example.com/name:tag`")
    builder, output = _builder(raw, push, platforms, problems), _output(raw, push, problems)
    attach_sbom, sbom_file = _sbom(raw, builder, problems)
    check, sample, check_timeout_s = _check(raw, problems)
    problems.check()
    if script is None:  # cannot be: a missing script is a problem
        raise AssertionError("no entry script, and no problem noted")
    title = built_in.found.title if built_in is not None else None
    app = AppSpec(script, directory, tuple(models), triggers, environment, outputs, title)
    return BuildSettings(
        app,
        host,
        environment.base_image,
        platforms[0] if platforms else None,
        python_version,
        tag,
        push or output == "registry",
        identity,
        raw.cwd,
        platforms=platforms,
        builder=builder,
        output=output,
        insecure_registries=_texts(raw, "insecure_registry"),
        attach_sbom=attach_sbom,
        sbom_file=sbom_file,
        check=check,
        sample=sample,
        check_timeout_s=check_timeout_s,
    )


def _built_in(models: Sequence[ModelSource], problems: Problems) -> BuiltIn | None:
    from fnpack.config.built_in import built_in_script

    return built_in_script(models, problems)


def _given(raw: RawSettings, option: str) -> _Given | None:
    setting = raw.get(option)
    if setting is None or not isinstance(setting.value, str):
        return None
    return _Given(setting.value, setting.source)


def _inference_config(raw: RawSettings, problems: Problems) -> InferenceConfig | None:
    setting = raw.get("inference_config")
    if setting is None or not isinstance(setting.value, str):
        return None
    from fnpack.config.inference import read_inference_config

    try:
        return read_inference_config(absolute(setting.folder, setting.value))
    except ConfigurationError as exc:
        problems.extend(exc)
    return None


def _environment(raw: RawSettings, config: InferenceConfig | None, problems: Problems) -> Environment:
    """The environment of the inference configuration, with the packages of --requirements if those are given."""
    environment = config.environment if config is not None else Environment()
    setting = raw.get("requirements")
    if setting is None or not isinstance(setting.value, str):
        return environment
    if config is not None and config.has_requirements:
        what = f"packages are named here and in {config.file} (environment.python) too"
        problems.add(setting.source, what, "keep one of them")
        return environment
    path = absolute(setting.folder, setting.value)
    try:
        lines = read_requirements(path)
    except ConfigurationError as exc:
        problems.extend(exc)
        return environment
    requirements, notes = without_server(lines.requirements)
    return environment._replace(
        requirements=requirements,
        constraints=lines.constraints,
        requirements_source=label(path),
        notes=environment.notes + notes + lines.notes,
    )


def _host(raw: RawSettings, problems: Problems) -> str:
    given = _given(raw, "host")
    if given is None:
        return "fnpack"
    if given.value not in HOSTS:
        problems.add(
            given.source, f"there is no host `{given.value}`", did_you_mean_or_list(given.value, HOSTS)
        )
        return "fnpack"
    return given.value


def _platforms(
    raw: RawSettings, config: InferenceConfig | None, host: str, problems: Problems
) -> tuple[str, ...]:
    """The platforms that are asked for, separated by commas where there are several."""
    given = _given(raw, "platform")
    if given is None and config is not None and config.platform is not None:
        given = _Given(config.platform, f"{config.file}: environment.docker.platform")
    if given is None:
        return ()
    platforms = tuple(dict.fromkeys(part.strip() for part in given.value.split(",")))
    for platform in platforms:
        if platform not in PLATFORMS:
            from fnpack.config.docker_section import ARCHITECTURES

            known = ARCHITECTURES.get(platform.casefold().removeprefix("linux/"))
            suggestion = f"did you mean `linux/{known}`?" if known else f"use {one_of(PLATFORMS)}"
            problems.add(given.source, f"images for `{platform}` cannot be built", suggestion)
        elif host == "azure-functions" and platform != "linux/amd64":
            what = "Azure Functions runs images for `linux/amd64` only"
            problems.add(given.source, what, "use `linux/amd64`, or `--host fnpack`")
    return platforms


def _builder(raw: RawSettings, push: bool, platforms: tuple[str, ...], problems: Problems) -> str:
    given = _given(raw, "builder")
    if given is None:
        return "oci"
    if given.value not in BUILDERS:
        what = f"there is no builder `{given.value}`"
        problems.add(given.source, what, did_you_mean_or_list(given.value, BUILDERS))
    elif given.value != "oci" and len(platforms) > 1:
        what = "the Docker Engine builds for one platform at a time"
        problems.add(given.source, what, "use `--builder oci`, or build each on its own")
    elif given.value != "oci" and raw.get("output") is not None:
        what = f"the builder `{given.value}` puts images into the Engine, and pushes them with `--push`"
        problems.add(given.source, what, "leave `--output` out, or use `--builder oci`")
    return given.value


def _output(raw: RawSettings, push: bool, problems: Problems) -> str | None:
    given = _given(raw, "output")
    if given is None:
        return "registry" if push else None
    kind, colon, place = given.value.partition(":")
    takes_path = kind in ("oci-layout", "docker-archive")
    if kind not in OUTPUTS:
        problems.add(given.source, f"there is no output `{kind}`", did_you_mean_or_list(kind, OUTPUTS))
    elif colon and not (takes_path and place):
        problems.add(given.source, f"`{given.value}` names no place", "write `oci-layout:FOLDER`")
    elif push and kind != "registry":
        problems.add(given.source, "--push sends the image to its registry", "leave one of the two out")
    elif kind == "registry" and raw.get("tag") is None:
        what, suggestion = "there is no name to push to", "give `--tag registry.example.com/name:tag`"
        problems.add(given.source, what, suggestion)
    return given.value


def _sbom(raw: RawSettings, builder: str, problems: Problems) -> tuple[bool | None, Path | None]:
    """Whether to attach an SBOM, and the file to write it to."""
    setting = raw.get("sbom")
    if setting is None or not isinstance(setting.value, str):
        return None, None
    if setting.value in _SBOM_WORDS:
        return _SBOM_WORDS[setting.value], None
    if not {".", "/", "\\"} & set(setting.value):
        what, suggestion = (
            f"`{setting.value}` is neither `attach` nor `none`",
            f"write `./{setting.value}` for a file",
        )
        problems.add(setting.source, what, suggestion)
    elif builder == "dockerfile":
        what = "the builder `dockerfile` writes no SBOM: the Engine's own tools do"
        problems.add(setting.source, what, "leave `--sbom` out, or use `--builder oci`")
    return None, absolute(setting.folder, setting.value)


def _check(raw: RawSettings, problems: Problems) -> tuple[bool, Path | None, float]:
    """Whether to check, with which sample, and for how long at most (seconds)."""
    is_on = raw.get("check") is None or _switch(raw, "check")
    setting, sample = raw.get("sample"), None
    if setting is not None and isinstance(setting.value, str):
        sample = absolute(setting.folder, setting.value)
        if not sample.is_file():
            what = "is a folder" if sample.is_dir() else "does not exist"
            problems.add(
                setting.source, f"the sample {label(sample)} {what}", "give a file with an input of run()"
            )
        elif not is_on:
            problems.add(
                setting.source, "a sample is for the check, which is off", "leave one of the two out"
            )
    given, timeout_s = _given(raw, "check_timeout"), CHECK_TIMEOUT_S
    if given is not None:
        try:
            timeout_s = float(given.value)
        except ValueError:
            timeout_s = 0
        if not 0 < timeout_s < float("inf"):
            problems.add(given.source, f"`{given.value}` is no number of seconds", "write 600")
    return is_on, sample, timeout_s


def _texts(raw: RawSettings, option: str) -> tuple[str, ...]:
    setting = raw.get(option)
    return setting.value if setting is not None and isinstance(setting.value, tuple) else ()


def _python_version(raw: RawSettings, config: InferenceConfig | None, problems: Problems) -> str | None:
    given = _given(raw, "python_version")
    if given is None and config is not None and config.environment.python_version is not None:
        given = _Given(config.environment.python_version, f"{config.environment.requirements_source}: python")
    if given is None:
        return None
    if given.value not in PYTHON_VERSIONS:
        short = re.match(r"3\.\d+(?=\.)", given.value)
        what = f"Python `{given.value}` is not possible"
        suggestion = f"use {one_of(PYTHON_VERSIONS)}"
        if short and short[0] in PYTHON_VERSIONS:
            what, suggestion = (
                f"`{given.value}` names a patch release, which the base image chooses",
                f"write `{short[0]}`",
            )
        elif not given.source.startswith(("--", "FNPACK_")):
            suggestion += ", there or with --python-version"
        problems.add(given.source, what, suggestion)
    return given.value


def _python_of(found: Found, raw: RawSettings, environment: Environment) -> str | None:
    """The Python that made the model, where its file says it and nothing else decides."""
    decided = raw.get("base_image") is not None or environment.base_image or environment.conda is not None
    return found.python_version if not decided and found.python_version in PYTHON_VERSIONS else None


def _with_conda(raw: RawSettings, environment: Environment, host: str, problems: Problems) -> Environment:
    """The option --python-version wins in a conda environment too."""
    conda = environment.conda
    if conda is None:
        return environment
    if host == "azure-functions":
        what = "conda packages are not possible there: its image runs the Python that it brings"
        problems.add(environment.requirements_source, what, "use `--host fnpack`, or the list of pip")
    given = _given(raw, "python_version")
    if given is None:
        return environment
    from fnpack.config.conda import package_name

    others = tuple(spec for spec in conda.specs if package_name(spec) != "python")
    return environment._replace(conda=conda._replace(specs=(f"python={given.value}", *others)))


def _with_base_image(raw: RawSettings, environment: Environment, problems: Problems) -> Environment:
    """The option wins over the configuration; a registry's login stays only with an image of that registry."""
    given = _given(raw, "base_image")
    if given is not None:
        fault = None if given.value.startswith(LOCAL_BASES) else fault_of_image(given.value)
        if fault:
            problems.add(given.source, fault, "write `registry/name:tag`")
        login = environment.base_image_registry
        keep = login is not None and login.address == registry_of(given.value)
        environment = environment._replace(
            base_image=given.value, base_image_registry=login if keep else None
        )
    if environment.user_managed and environment.base_image is None:
        note = "userManagedDependencies is true and no base image is named: only Python's own modules will be there"
        environment = environment._replace(notes=(*environment.notes, note))
    return environment


def _tag(raw: RawSettings, problems: Problems) -> str | None:
    given = _given(raw, "tag")
    if given is None:
        return None
    fault = "a tag has no digest" if "@" in given.value else fault_of_image(given.value)
    if fault:
        problems.add(given.source, fault, "write `registry/name:tag` or `name:tag`")
    return given.value


def _switch(raw: RawSettings, option: str) -> bool:
    setting = raw.get(option)
    return setting is not None and setting.value is True
