"""`fnpack build`: from model, script and configuration to an image whose reference is all that stdout gets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fnpack.cli import ExampleCommand
from fnpack.cli.progress_view import KINDS, megabytes
from fnpack.cli.terminal import Terminal
from fnpack.progress import Progress, Tally
from fnpack.spec import BlobTrigger

if TYPE_CHECKING:
    from fnpack.app.directory import FunctionApp
    from fnpack.build import Built
    from fnpack.config.build import BuildSettings

EXAMPLES = """\
  fnpack build --entry-script score.py --model model.pkl --requirements requirements.txt
  fnpack build --model model.onnx
  fnpack build --inference-config inferenceconfig.json --model diabetes=model.pkl --trigger blob \\
      --input-path 'input/{blobname}.json' --output-path 'output/{blobname}_out.json'
  fnpack build --trigger http --trigger blob --tag registry.example.com/score:1 --push
  fnpack build --trigger service_bus_queue --input-queue in --output-queue out
  fnpack build --host azure-functions --tag myregistry.azurecr.io/score:1 --push
  fnpack build --platform linux/amd64,linux/arm64 --tag registry.example.com/score:1 --push
  fnpack build --output oci-layout:image/
  fnpack build --app-only app/ && fnpack run app/
  docker run -p 8080:8080 -e TriggerConnectionString="$CONNECTION" $(fnpack build)

  Every option can also stand in fnpack.toml or [tool.fnpack] of pyproject.toml
  (input_path = "..."), or in the environment (FNPACK_INPUT_PATH); an option
  on the command line wins over the environment, which wins over the file.
"""


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("project", default=".", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--entry-script",
    metavar="FILE",
    help="Scoring script with init() and run(). [default: score.py, else the built-in one for the model]",
)
@click.option("--source-directory", metavar="DIR", help="Folder to ship whole, with the entry script in it.")
@click.option(
    "--model",
    multiple=True,
    metavar="[NAME=]MODEL",
    help="Model file or folder, NAME[:VERSION] of the registry, or models:/... of MLflow; repeatable.",
)
@click.option(
    "--inference-config",
    metavar="FILE",
    help="Inference configuration of Azure ML SDK v1. [default: inferenceconfig.json, if it is there]",
)
@click.option(
    "--requirements", metavar="FILE", help="Python packages. [default: requirements.txt, if it is there]"
)
@click.option(
    "--trigger",
    multiple=True,
    metavar="KIND",
    help="http, blob, service_bus_queue, service_bus_topic; repeatable.",
)
@click.option("--input-path", metavar="PATH", help="Blobs to score. [default: input/{blobname}.json]")
@click.option("--output-path", metavar="PATH", help="Where results go. [default: output/{blobname}_out.json]")
@click.option("--input-queue", metavar="NAME", help="Service Bus queue to score.")
@click.option("--output-queue", metavar="NAME", help="Service Bus queue for results.")
@click.option("--input-topic", metavar="NAME", help="Service Bus topic to score.")
@click.option("--input-subscription", metavar="NAME", help="Its subscription.")
@click.option("--output-topic", metavar="NAME", help="Service Bus topic for results.")
@click.option(
    "--extra-output",
    multiple=True,
    metavar="NAME=KIND:TARGET",
    help="Output beside the result: blob, queue, service_bus_queue, service_bus_topic; repeatable.",
)
@click.option(
    "--auth-level", metavar="LEVEL", help="anonymous, function or admin, for http. [default: function]"
)
@click.option(
    "--connection",
    metavar="SETTING",
    help="Name of the setting with the connection. [default: TriggerConnectionString]",
)
@click.option(
    "--service-bus-connection",
    metavar="SETTING",
    help="The same for Service Bus functions. [default: as --connection, but apart from blobs: ServiceBusConnection]",
)
@click.option(
    "--host", metavar="HOST", help="fnpack, or azure-functions for Microsoft's base image. [default: fnpack]"
)
@click.option("--base-image", metavar="IMAGE", help="Image to build on. [default: python:3.X-slim]")
@click.option(
    "--platform",
    metavar="PLATFORM",
    help="linux/amd64 or linux/arm64; with a comma between them for both. [default: this machine's]",
)
@click.option(
    "--python-version", metavar="3.X", help="Python of the image. [default: the one that runs fnpack]"
)
@click.option("--tag", metavar="NAME:TAG", help="Name of the image, with its registry where it is pushed.")
@click.option(
    "--identity/--no-identity",
    default=None,
    help="Let connections in the image sign in with an identity (azure-identity).",
)
@click.option("--push/--no-push", default=None, help="Push the image to its registry.")
@click.option(
    "--builder",
    metavar="BUILDER",
    help="oci needs no Docker; docker makes the same layers and leaves base and push to the Docker Engine; "
    "dockerfile lets the Engine build from a Dockerfile. [default: oci]",
)
@click.option(
    "--output",
    metavar="KIND[:PATH]",
    help="registry, engine, oci-layout[:FOLDER or FILE.tar] or docker-archive[:FILE]. "
    "[default: registry with --push, else the Docker Engine if one answers, else an OCI layout]",
)
@click.option(
    "--sbom",
    metavar="attach|none|FILE",
    help="SBOM (CycloneDX): attach it to an image in an OCI layout too, make none, or write it to a file as well. "
    "[default: attached to images in registries]",
)
@click.option(
    "--insecure-registry",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Registry that may be reached without TLS, or with any certificate; repeatable.",
)
@click.option(
    "--check/--no-check",
    default=None,
    help="Import the script and call init() before the image goes anywhere. [default: --check]",
)
@click.option("--sample", metavar="FILE", help="Input that the check gives to run(), too.")
@click.option("--check-timeout", metavar="SECONDS", help="How long a check may take. [default: 600]")
@click.option(
    "--app-only",
    "app_dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write the function-app directory and stop.",
)
@click.option(
    "--dockerfile-only",
    "context_dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write a build context and stop.",
)
@click.option("--upgrade", is_flag=True, help="Lock the newest versions of all packages that fit.")
@click.option("--locked", is_flag=True, help="Fail if the lock file does not fit, and leave it as it is.")
@click.option("--network", metavar="MODE", help="Network of the build's steps, as docker build has it.")
@click.option(
    "--progress",
    type=click.Choice(KINDS),
    default="auto",
    show_default=True,
    help="Live lines on a terminal and plain ones elsewhere, plain lines, JSON objects on stderr, or none.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show stack traces of errors.")
def build(  # noqa: PLR0917 - click passes them by name
    project: Path,
    app_dir: Path | None,
    context_dir: Path | None,
    upgrade: bool,
    locked: bool,
    network: str | None,
    progress: str,
    as_json: bool,
    debug: bool,
    **options: str | bool | tuple[str, ...] | None,
) -> None:
    """Turn model, entry script and configuration of the folder PROJECT into an image; print its reference on stdout."""
    from fnpack import build as builder
    from fnpack.config.build import complete
    from fnpack.config.discovery import discover
    from fnpack.config.project import merge, read_project
    from fnpack.models.references import ModelFinder

    if app_dir and context_dir:
        raise click.UsageError("--app-only and --dockerfile-only exclude each other")
    if upgrade and locked:
        raise click.UsageError("--upgrade and --locked exclude each other")
    terminal = Terminal(as_json=as_json, debug=debug, progress=progress)
    click.get_current_context().call_on_close(terminal.close)
    # Paths on the command line start here, defaults such as score.py in the project.
    raw = merge(read_project(project.absolute()), os.environ, options, cwd=Path.cwd())
    raw = discover(raw._replace(cwd=project.absolute()), project.absolute())
    settings = complete(raw, ModelFinder(project.absolute(), terminal.progress))
    settings = settings._replace(lock_mode="upgrade" if upgrade else "locked" if locked else "reuse")
    for note in (*settings.app.environment.notes, *_path_notes(settings)):
        terminal.warn(note)
    if app_dir or context_dir:
        write = builder.build_app if app_dir else builder.build_context
        app = write(settings, app_dir or context_dir, terminal.progress)  # type: ignore[arg-type]
        _summarise(terminal, app, settings)
        _next_for_folder(terminal, app.path, is_app=app_dir is not None)
        terminal.result(
            {"path": str(app.path), **_facts(app, settings), "seconds": round(terminal.elapsed_s, 3)}
        )
        terminal.data(str(app.path))
        return
    tally = Tally(terminal.progress)
    built = _build(settings, tally, network)
    if built.check.status in ("passed", "remembered") and built.check.text:
        terminal.say(built.check.text)
    _summarise(terminal, built.app, settings)
    facts = {
        "image": built.reference,
        "pushed": built.pushed,
        "base_image": built.base_image,
        "platform": built.platform,
        "python_version": built.python_version,
    }
    totals = {"check": built.check.facts(), "seconds": round(terminal.elapsed_s, 3), **tally.facts()}
    terminal.summary(_how_long(built, tally, terminal.elapsed_s), {**facts, **totals})
    terminal.result({**facts, **_facts(built.app, settings), **totals})
    terminal.data(built.reference)


def _how_long(built: Built, tally: Tally, seconds: float) -> str:
    """`built in 1.6 s (base 0.1, layers 1.2 s), on python:3.11-slim`; phases that took no time are left out."""
    phases = ", ".join(f"{name} {took:.1f}" for name, took in tally.phases.items() if took >= 0.05)
    sent = megabytes(tally.sent_bytes) if tally.sent_bytes else "no layer"
    sent = f", {sent} sent" if built.pushed else ""
    done = "pushed" if built.pushed else "built"
    return f"{done} in {seconds:.1f} s{f' ({phases} s)' if phases else ''}{sent}, on {built.base_image}"


def _build(settings: BuildSettings, progress: Progress, network: str | None) -> Built:
    if settings.builder == "dockerfile":
        from fnpack.build import build_image as build_with_docker

        return build_with_docker(settings, progress, network=network)
    from fnpack.daemonless import build_image, destination_of

    return build_image(settings, destination_of(settings), progress)


def _path_notes(settings: BuildSettings) -> list[str]:
    """Blob paths without an expression are allowed and seldom meant; a shell may have taken it (`${blobname}`)."""
    notes = []
    for trigger in settings.app.triggers:
        if not isinstance(trigger, BlobTrigger):
            continue
        quote = "write it as 'container/{blobname}.json', in single quotes"
        name = trigger.input_path.partition("/")[2]
        if name and "{" not in name:
            notes.append(f"the input path `{trigger.input_path}` stands for this one blob only; {quote}")
        elif "{" not in trigger.output_path:
            notes.append(f"every result overwrites the one blob `{trigger.output_path}`; {quote}")
    return notes


def _facts(app: FunctionApp, settings: BuildSettings) -> dict[str, object]:
    functions = [
        {"name": f.name, "trigger": f.trigger, "where": f.where, "settings": list(f.settings)}
        for f in app.functions
    ]
    script = {"entry_script": app.entry_script}
    if settings.app.built_in:
        script["built_in_for"] = settings.app.built_in
    return {**script, "models": list(app.models), "functions": functions}


def _summarise(terminal: Terminal, app: FunctionApp, settings: BuildSettings) -> None:
    """For each function what its user has to know: name, trigger, where, settings."""
    if settings.app.built_in:
        terminal.say(f"no entry script: the built-in one for {settings.app.built_in}")
    for function in app.functions:
        terminal.say(f"function {function.name}", style="bold")
        terminal.say(f"  trigger   {function.trigger}")
        terminal.say(f"  where     {function.where}")
        form = "a connection string"
        if settings.identity or settings.host == "azure-functions":
            form += ", or an identity: {name}__accountName and more"
        needed = [f"{name} ({form.format(name=name)})" for name in function.settings]
        if settings.host == "azure-functions":
            needed.append("AzureWebJobsStorage (a storage connection string, for the host itself)")
        elif function.trigger == "http" and "(no key)" not in function.where:
            needed.append(
                "a place for keys: AzureWebJobsStorage, or FUNCTIONS_SECRETS_PATH, or mounted key files"
            )
        for number, line in enumerate(needed):
            terminal.say(f"  {'settings' if number == 0 else '        '}  {line}")


def _next_for_folder(terminal: Terminal, path: Path, *, is_app: bool) -> None:
    import shlex

    from fnpack.config.files import label

    shown = shlex.quote(label(path))
    if is_app:
        terminal.say(f"run it: fnpack run {shown}", style="dim")
    else:
        terminal.say(
            f"build it: DOCKER_BUILDKIT=1 docker build {shown} (its README.md says more)", style="dim"
        )
