"""`fnpack model`: register, list, show, download, delete and tag models of a registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from fnpack.cli import ExampleCommand, LazyGroup
from fnpack.cli.amounts import size_text
from fnpack.cli.terminal import Terminal

if TYPE_CHECKING:
    from fnpack.models.record import ModelRecord
    from fnpack.models.references import Reference
    from fnpack.models.registry import ModelRegistry

C = TypeVar("C", bound=Callable[..., object])
EXAMPLES = """\
  fnpack model register model.pkl --name diabetes --tag area=health
  fnpack model list
  fnpack build --model diabetes:1
"""
_HERE = "fnpack.cli.model"


def _common(command: C) -> C:
    """The options of every command here."""
    command = click.option("--debug", is_flag=True, help="Show stack traces of errors.")(command)
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)
    return click.option(
        "--registry",
        "url",
        metavar="URL",
        envvar="FNPACK_REGISTRY",
        help="Shared registry, such as az://container/folder. [default: the workspace's own]",
    )(command)


@click.command(
    cls=LazyGroup,
    commands_at={
        "register": (f"{_HERE}:register", "store a file or folder as the next version of a model"),
        "list": (f"{_HERE}:list_command", "list models"),
        "show": (f"{_HERE}:show", "print all that is known about a model"),
        "download": (f"{_HERE}:download", "copy a model's files to a folder"),
        "script": (
            "fnpack.cli.model_script:script",
            "print the entry script that is built in for a model, to keep and change",
        ),
        "tag": (f"{_HERE}:tag", "set and remove a model's tags"),
        "delete": (f"{_HERE}:delete", "delete a version of a model"),
        "gc": (f"{_HERE}:gc", "remove what interrupted commands left"),
    },
    examples=EXAMPLES,
)
def model() -> None:
    """Keep models by name and version, in the workspace's registry or a shared one."""


@click.command(
    cls=ExampleCommand,
    examples="""\
  fnpack model register model.pkl --name diabetes
  fnpack model register outputs/net --name net --framework PyTorch --framework-version 2.8
  fnpack model register outputs --name net --child-path net/weights.bin --property auc=0.91
  fnpack model register model.pkl --name diabetes --registry az://models/team
""",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("-n", "--name", help="Name of the model. [default: the file's name without its ending]")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Tag; repeatable.")
@click.option(
    "--property",
    "properties",
    multiple=True,
    metavar="KEY=VALUE",
    help="Fact that never changes; repeatable.",
)
@click.option("--description", metavar="TEXT", help="What the model is.")
@click.option("--framework", metavar="NAME", help="ScikitLearn, Onnx, TensorFlow, PyTorch or another.")
@click.option("--framework-version", metavar="VERSION", help="Version of the framework.")
@click.option(
    "--child-path",
    "children",
    multiple=True,
    metavar="PATH",
    help="Take only this of the folder; repeatable.",
)
@_common
def register(  # noqa: PLR0917 - click passes them by name
    path: Path,
    name: str | None,
    tags: tuple[str, ...],
    properties: tuple[str, ...],
    description: str | None,
    framework: str | None,
    framework_version: str | None,
    children: tuple[str, ...],
    url: str | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Store the file or folder PATH as the next version of a model; print its `name:version` on stdout."""
    from fnpack.models.record import ModelFacts
    from fnpack.models.registry import Draft, current_user

    facts = ModelFacts(
        tags=_pairs(tags, "--tag"),
        properties=_pairs(properties, "--property"),
        description=description,
        framework=framework,
        framework_version=framework_version,
        created_by=current_user(),
    )
    terminal = Terminal(as_json=as_json, debug=debug)
    chosen = name or (path.stem if path.is_file() else path.absolute().name)
    draft = Draft(chosen, path, facts, children or None)
    registry = _registry(url)
    record = registry.register(draft, terminal.progress)
    terminal.say(f"{size_text(record.size_bytes)} in {registry.location}", style="dim")
    terminal.result(
        {"model": _facts(record), "registry": registry.location, "seconds": round(terminal.elapsed_s, 3)}
    )
    terminal.data(record.id)


@click.command(
    cls=ExampleCommand,
    name="list",
    examples="""\
  fnpack model list
  fnpack model list diabetes --latest
  fnpack model list --tag area=health --tag approved
""",
)
@click.argument("name", required=False)
@click.option("--tag", "tags", multiple=True, metavar="KEY[=VALUE]", help="Only with this tag; repeatable.")
@click.option(
    "--property",
    "properties",
    multiple=True,
    metavar="KEY[=VALUE]",
    help="Only with this property; repeatable.",
)
@click.option("--framework", metavar="NAME", help="Only of this framework.")
@click.option("--latest", is_flag=True, help="Only the newest version of each name.")
@_common
def list_command(  # noqa: PLR0917 - click passes them by name
    name: str | None,
    tags: tuple[str, ...],
    properties: tuple[str, ...],
    framework: str | None,
    latest: bool,
    url: str | None,
    as_json: bool,
    debug: bool,
) -> None:
    """List the models, by name and with the newest version first."""
    from fnpack.models.selection import Selection

    selection = Selection(name, _filters(tags), _filters(properties), framework=framework, latest=latest)
    registry = _registry_if_any(url)
    records = selection.of(registry) if registry is not None else []
    terminal = Terminal(as_json=as_json, debug=debug)
    where = registry.location if registry is not None else None
    terminal.result({"models": [_facts(record) for record in records], "registry": where})
    if not records:
        terminal.say("no models" if name is None else f"no models named {name}", style="dim")
        return
    width = max(len(record.id) for record in records)
    for record in records:
        tagged = " ".join(f"{key}={value}" for key, value in sorted(record.facts.tags.items()))
        when = record.created_time.astimezone().strftime("%Y-%m-%d %H:%M")
        terminal.data(f"{record.id:{width}}  {when}  {size_text(record.size_bytes):>9}  {tagged}".rstrip())


@click.command(
    cls=ExampleCommand,
    examples="  fnpack model show diabetes\n  fnpack model show diabetes:3 --json\n",
)
@click.argument("model_id", metavar="NAME[:VERSION]")
@_common
def show(model_id: str, url: str | None, as_json: bool, debug: bool) -> None:
    """Print all that is known about a model, by default about its latest version."""
    _, record = _find(url, model_id)
    terminal = Terminal(as_json=as_json, debug=debug)
    facts = _facts(record)
    terminal.result({"model": facts})
    for key, value in facts.items():
        if isinstance(value, dict):
            for name, text in sorted(value.items()):
                terminal.data(f"{key + ' ' + name:20}  {text}")
        elif key == "files":
            for file in record.files:
                terminal.data(
                    f"{'file':20}  {file.path} ({size_text(file.size_bytes)}, sha256 {file.digest})"
                )
        elif value is not None:
            terminal.data(f"{key.replace('_', ' '):20}  {value}")


@click.command(
    cls=ExampleCommand,
    examples="  fnpack model download diabetes:3\n  fnpack model download net --target-dir models --exist-ok\n",
)
@click.argument("model_id", metavar="NAME[:VERSION]")
@click.option(
    "--target-dir",
    metavar="DIR",
    default=Path(),
    type=click.Path(path_type=Path),
    help="Where it goes. [default: the current folder]",
)
@click.option("--exist-ok", is_flag=True, help="Replace files that are there.")
@_common
def download(  # noqa: PLR0917 - click passes them by name
    model_id: str, target_dir: Path, exist_ok: bool, url: str | None, as_json: bool, debug: bool
) -> None:
    """Copy a model's files to a folder; print the path of the file or folder on stdout."""
    from fnpack.models.download import download as copy

    terminal = Terminal(as_json=as_json, debug=debug)
    registry, record = _find(url, model_id)
    path = copy(registry, record, target_dir, exist_ok=exist_ok, progress=terminal.progress)
    terminal.result({"path": str(path), "model": _facts(record), "seconds": round(terminal.elapsed_s, 3)})
    terminal.data(str(path))


@click.command(
    cls=ExampleCommand,
    examples="  fnpack model tag diabetes:3 approved=yes\n  fnpack model tag diabetes --remove draft\n",
)
@click.argument("model_id", metavar="NAME[:VERSION]")
@click.argument("tags", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--remove", "removed", multiple=True, metavar="KEY", help="Remove this tag; repeatable.")
@_common
def tag(  # noqa: PLR0917 - click passes them by name
    model_id: str,
    tags: tuple[str, ...],
    removed: tuple[str, ...],
    url: str | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Set and remove tags of a model, by default of its latest version; print the tags that it has then."""
    added = _pairs(tags, "KEY=VALUE")
    if not added and not removed:
        raise click.UsageError("give a tag to set (KEY=VALUE) or to remove (--remove KEY)")
    registry, record = _find(url, model_id)

    def retag(old: ModelRecord) -> ModelRecord:
        kept = {key: value for key, value in old.facts.tags.items() if key not in removed}
        return replace(old, facts=replace(old.facts, tags={**kept, **added}))

    changed = registry.change(record.name, record.version, retag)
    terminal = Terminal(as_json=as_json, debug=debug)
    terminal.result({"model": _facts(changed)})
    for key, value in sorted(changed.facts.tags.items()):
        terminal.data(f"{key}={value}")


@click.command(
    cls=ExampleCommand,
    examples="  fnpack model delete diabetes:3\n  fnpack model delete diabetes:3 --force\n",
)
@click.argument("model_id", metavar="NAME:VERSION")
@click.option("--force", is_flag=True, help="Even while a service or a package uses it.")
@_common
def delete(model_id: str, force: bool, url: str | None, as_json: bool, debug: bool) -> None:
    """Delete one version of a model. Its number is never given again."""
    wanted = _reference(model_id)
    if wanted.version is None:
        raise click.UsageError(f"say which version, as in {wanted.name}:1")
    registry, record = _find(url, model_id)
    registry.delete(record.name, record.version, force=force)
    terminal = Terminal(as_json=as_json, debug=debug)
    terminal.result({"deleted": model_id})
    terminal.say(f"deleted {model_id}")


@click.command(cls=ExampleCommand, examples="  fnpack model gc\n")
@_common
def gc(url: str | None, as_json: bool, debug: bool) -> None:
    """Remove what interrupted commands left. `register` does it by itself in a registry on this machine."""
    registry = _registry_if_any(url)
    terminal = Terminal(as_json=as_json, debug=debug)
    if registry is None:
        terminal.result({"registrations": 0, "files": 0, "bytes": 0})
        terminal.say("there is no registry yet", style="dim")
        return
    found = registry.collect()
    terminal.result({"registrations": found.registrations, "files": found.files, "bytes": found.size_bytes})
    terminal.say(
        f"removed {found.registrations} unfinished registrations and {found.files} files"
        f" ({size_text(found.size_bytes)}) in {registry.location}"
    )


def _registry(url: str | None) -> ModelRegistry:
    from fnpack.models.opened import registry_near

    found = registry_near(Path(), url, make=True)
    if found is None:  # cannot be: it is made
        raise AssertionError("no registry")
    return found


def _find(url: str | None, model_id: str) -> tuple[ModelRegistry, ModelRecord]:
    """The model and its registry. Looking makes no registry where there is none."""
    from fnpack.models.errors import not_found

    wanted = _reference(model_id)
    registry = _registry_if_any(url)
    if registry is None:
        raise not_found(model_id)
    return registry, registry.get(wanted.name, wanted.version)


def _registry_if_any(url: str | None) -> ModelRegistry | None:
    from fnpack.models.opened import registry_near

    return registry_near(Path(), url)


def _reference(text: str) -> Reference:
    from fnpack.models.references import reference

    found = reference(text)
    if found is None:
        raise click.UsageError(f"`{text}` names no model; write NAME or NAME:VERSION, as in diabetes:1")
    return found


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.UsageError(f"{option}: `{text}` is no KEY=VALUE")
        pairs[key.strip()] = value.strip()
    return pairs


def _filters(texts: Sequence[str]) -> list[str | list[str]]:
    return [text if "=" not in text else [part.strip() for part in text.split("=", 1)] for text in texts]


def _facts(record: ModelRecord) -> dict[str, object]:
    facts = record.facts
    return {
        "id": record.id,
        "name": record.name,
        "version": record.version,
        "created_time": record.created_time.isoformat(),
        "created_by": facts.created_by,
        "description": facts.description,
        "framework": facts.framework,
        "framework_version": facts.framework_version,
        "tags": dict(facts.tags),
        "properties": dict(facts.properties),
        "size_bytes": record.size_bytes,
        "files": [{"path": f.path, "size_bytes": f.size_bytes, "sha256": f.digest} for f in record.files],
        "used_by": dict(record.users),
    }
