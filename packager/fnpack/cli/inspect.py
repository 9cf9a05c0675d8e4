"""`fnpack inspect`: shows what is in an image, without pulling it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from fnpack.cli import ExampleCommand
from fnpack.cli.amounts import size_text
from fnpack.cli.terminal import Terminal

if TYPE_CHECKING:
    from fnpack.inspection.report import LayerFacts, Report

EXAMPLES = """\
  fnpack inspect registry.example.com/diabetes:1
  fnpack inspect $(fnpack build)
  fnpack inspect oci-layout:diabetes.oci --platform linux/arm64
  fnpack inspect docker-archive:diabetes.tar
  fnpack inspect registry.example.com/diabetes:1 --json | jq .models
"""
_SHORT = 19  # of a digest: `sha256:` and twelve digits
_SIZES = {
    "registry": "to pull",
    "oci-layout": "in the layout",
    "docker-archive": "in the archive",
    "engine": "unpacked",
}
_EPOCH = "1970-01-01T00:00:00Z"


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("image")
@click.option(
    "--platform",
    metavar="PLATFORM",
    help="Which of several platforms, such as linux/arm64. [default: this machine's, else the first]",
)
@click.option(
    "--insecure-registry",
    multiple=True,
    envvar="FNPACK_INSECURE_REGISTRY",
    metavar="HOST[:PORT]",
    help="Registry that may be reached without TLS, or with any certificate; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show stack traces of errors.")
def inspect(
    image: str, platform: str | None, insecure_registry: tuple[str, ...], as_json: bool, debug: bool
) -> None:
    """Show what is in IMAGE, without pulling it: functions, models, layers, packages and where they come from.

    IMAGE is what `fnpack build` printed, a tag or digest in a registry, oci-layout:PATH[@DIGEST], docker-archive:FILE,
    or a name or id that the Docker Engine has.
    """
    from fnpack.inspection.opened import open_image
    from fnpack.inspection.report import report_of

    terminal = Terminal(as_json=as_json, debug=debug)
    insecure = [name.strip() for text in insecure_registry for name in text.split(",") if name.strip()]
    report = report_of(open_image(image, platform, insecure))
    for line in _lines(report):  # a stranger's image may name its parts as it likes
        terminal.data("".join(letter if letter.isprintable() else "?" for letter in line))
    if report.image.note:
        terminal.warn(report.image.note)
    terminal.result(report.facts())


def _lines(report: Report) -> Iterator[str]:
    yield report.image.reference
    for name, text in _about(report):
        yield f"  {name:<10}  {text}"
    for function in report.functions:
        yield from ("", f"function {function.name}")
        yield f"  {'trigger':<10}  {function.trigger}"
        yield f"  {'where':<10}  {function.where}"
        for number, setting in enumerate(function.settings):
            yield f"  {'' if number else 'settings':<10}  {setting}"
    for model in report.models:
        files = f", {model.files} files" if model.files > 1 else ""
        yield from ("", f"model {model.name}:{model.version}")
        yield f"  {'size':<10}  {size_text(model.size_bytes)}{files}"
        yield f"  {'sha256':<10}  {model.sha256}"
    yield from ("", "layers")
    yield from _layer_lines(report)
    yield from _package_lines(report)


def _about(report: Report) -> Iterator[tuple[str, str]]:
    image = report.image
    if image.index_digest:
        yield "index", image.index_digest
    yield ("digest", image.digest) if image.digest else ("id", image.config_digest)
    others = [one for one in image.platforms if one != report.platform]
    yield "platform", report.platform + (f" (also there: {', '.join(others)})" if others else "")
    yield (
        "created",
        "not said (SOURCE_DATE_EPOCH dates an image)" if report.created == _EPOCH else report.created,
    )
    of_base = sum(layer.size_bytes for layer in report.base_layers)
    whose = f", the base image {size_text(of_base)} of it" if report.base_layers else ""
    yield "size", f"{size_text(report.size_bytes)} {_SIZES[image.kind]}{whose}"
    if report.base_name:
        yield "base", report.base_name
        yield "", report.base_digest or "its digest is not known"
    if report.is_ours:
        yield "made by", f"fnpack {report.fnpack_version}, host {report.host}, Python {report.python_version}"
    else:
        yield "made by", "not fnpack: it has none of its labels"
    if report.entry_script:
        yield "script", report.entry_script
        yield "", f"sha256 {report.entry_script_sha256}"
    if image.sbom is not None:
        yield "sbom", f"{image.sbom.digest} (CycloneDX)"


def _layer_lines(report: Report) -> Iterator[str]:
    base = report.base_layers
    rest = [layer for layer in report.layers if not layer.is_base]
    if base:
        title = f"base image, {len(base)} layer{'s' if len(base) > 1 else ''}"
        yield _layer_line(sum(layer.size_bytes for layer in base), "", title)
    for layer in rest:
        yield _layer_line(layer.size_bytes, layer.digest[:_SHORT], _title(layer))


def _layer_line(size_bytes: int, digest: str, title: str) -> str:
    return f"  {size_text(size_bytes):>10}  {digest:<{_SHORT}}  {title}".rstrip()


def _title(layer: LayerFacts) -> str:
    return layer.title or layer.media_type


def _package_lines(report: Report) -> Iterator[str]:
    if report.packages is None:
        yield from ("", "packages")
        yield "  not known: no SBOM is attached"
        return
    for part, heading in (("app", "packages of the app"), ("host", "packages of the host")):
        found = [one for one in report.packages if one.part == part]
        if found:
            width = max(len(one.name) for one in found)
            yield from ("", heading)
            yield from (f"  {one.name:<{width}}  {one.version}".rstrip() for one in found)
