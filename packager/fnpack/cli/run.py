"""`fnpack run`: a function-app directory on this machine, without an image."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fnpack.cli import ExampleCommand

DEFAULT_PORT = 7071
EXAMPLES = """\
  fnpack run                        the app directory here
  fnpack run app/ --port 0          on any free port
  fnpack run app/ --enable-auth     with keys enforced, as in an image
"""


@click.command(cls=ExampleCommand, examples=EXAMPLES, name="run")
@click.argument("appdir", default=".", type=click.Path(path_type=Path))
@click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes any free one. [default: 7071]",
)
@click.option(
    "--deployment-config",
    "--dc",
    "deployment",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Deployment configuration of Azure ML SDK v1 with the port; --port wins.",
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--enable-auth", is_flag=True, help="Enforce function keys, as an image does.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Log lines."
)
@click.option("--verbose", is_flag=True, help="Log in detail.")
@click.option("--json", "as_json", is_flag=True, help="Log JSON lines; print an error as one JSON object.")
@click.option("--debug", is_flag=True, help="Show stack traces of errors.")
def run_command(  # noqa: PLR0917 - click passes them by name
    appdir: Path,
    port: int | None,
    deployment: Path | None,
    address: str,
    enable_auth: bool,
    log_format: str,
    verbose: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Run the function-app directory APPDIR until Ctrl-C.

    Settings come from the environment and from local.settings.json.
    """
    if deployment is not None:
        from fnpack.config.deployment import read_deployment_config

        configured = read_deployment_config(deployment).port
        port = configured or 0 if port is None else port
    return start(
        appdir,
        port=port,
        address=address,
        enable_auth=enable_auth,
        log_as_json=as_json or log_format == "json",
        verbose=verbose,
    )


def start(
    appdir: Path,
    *,
    port: int | None,
    address: str,
    enable_auth: bool,
    log_as_json: bool = False,
    verbose: bool = False,
) -> int:
    """Run an app directory in this process; returns the exit code."""
    from fnpack_host.errors import AppDirectoryError
    from fnpack_host.host import HostOptions
    from fnpack_host.run import run_app
    from fnpack_host.settings import local_http_port

    if project := project_instead(appdir):
        raise AppDirectoryError(project[0], hint=project[1])
    # As `func start` does: idle queues are then looked at every 2 s, not every 60 s.
    os.environ.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
    chosen = port if port is not None else local_http_port(appdir) or environment_port()
    options = HostOptions(address=address, port=chosen, enforce_keys=enable_auth, log_as_json=log_as_json)
    return run_app(appdir, options, verbose=verbose)


def environment_port() -> int:
    """FNPACK_PORT, else 7071. Raises click's usage error for a value that is no port."""
    text = os.environ.get("FNPACK_PORT", "").strip()
    if text and not (text.isdecimal() and int(text) <= 65535):
        raise click.UsageError(f"FNPACK_PORT is `{text}`, but must be a port, 0 to 65535")
    return int(text or DEFAULT_PORT)


def project_instead(folder: Path) -> tuple[str, str] | None:
    """What is wrong and what to do where `folder` is a project, from which an app is yet to be made; else None."""
    from fnpack.config.discovery import project_file

    found = project_file(folder)
    if found is None:
        return None
    source = "" if folder == Path() else f" {folder}"
    return (
        f"{folder.resolve()} is a project (it has {found}), not a function app (it has no host.json)",
        f"make the app first: `fnpack build{source} --app-only app`, then name `app` here; or `fnpack dev{source}`",
    )
