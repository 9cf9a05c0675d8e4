"""Blob paths of bindings: which blobs a trigger takes, and where an output goes. It owns text only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fnpack_triggers.base import Json
from fnpack_triggers.errors import PatternError
from fnpack_triggers.expressions import Expression, Literal, Template

# What the blob trigger offers to expressions besides the names captured by its path.
TRIGGER_DATA_NAMES = ("BlobTrigger", "Uri", "Properties", "Metadata")

_CONTAINER = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]|\$root|\$web")
_CONTAINER_RULE = "a container name has 3 to 63 lower-case letters, digits and single dashes"


class BlobPattern(NamedTuple):
    """A trigger path: a container and a pattern of blob names.

    Each `{x}` takes the longest text that lets the rest match; it may be empty and may hold `/`.
    `literals` stand around `captures`: there is always one more of them.
    """

    text: str
    container: str
    captures: tuple[str, ...]
    literals: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """What every matching blob name begins with: all that needs to be listed."""
        return self.literals[0]

    def match(self, blob_name: str) -> dict[str, str] | None:
        """The captured texts by name if the blob is one of the trigger's, else None. Time is linear.

        Literals are placed from the right, each as late as possible: this gives every capture, from the left,
        its longest text, which is what greedy groups of a regular expression capture.
        """
        *_, last = self.literals
        if not self.captures:
            return {} if blob_name == last or self._is_whole_container else None
        if not (blob_name.startswith(self.prefix) and blob_name.endswith(last)):
            return None
        end = len(blob_name) - len(last)
        texts: list[str] = []
        for literal in reversed(self.literals[1:-1]):
            at = blob_name.rfind(literal, len(self.prefix), end)
            if at == -1:
                return None
            texts.append(blob_name[at + len(literal) : end])
            end = at
        if end < len(self.prefix):
            return None
        texts.append(blob_name[len(self.prefix) : end])
        if any("\n" in text for text in texts):
            return None
        return _last_wins(zip(self.captures, reversed(texts), strict=True))

    @property
    def _is_whole_container(self) -> bool:
        return self.literals == ("",)


class OutputPath(NamedTuple):
    """Where an output goes; any part may hold expressions."""

    template: Template

    @property
    def text(self) -> str:
        """The path as written."""
        return self.template.text

    def check(self, names: Iterable[str]) -> None:
        """Raise PatternError if the path uses a name that is neither in `names` nor a built-in."""
        self.template.check(names)

    def render(self, data: Mapping[str, Json]) -> tuple[str, str]:
        """Container and blob name for `data`. Raises PatternError if a name is missing or the result is no path."""
        container, _, blob = self.template.render(data).partition("/")
        reason = _container_fault(container) or _blob_fault(blob)
        if reason:
            raise PatternError(self.text, 0, f"gives `{container}/{blob}`: {reason}")
        return container, blob


def parse_trigger_path(text: str) -> BlobPattern:
    """Read the `path` of a blob trigger. Raises PatternError, with the position, when it is not one."""
    container, slash, blob = text.partition("/")
    brace = next((at for at, char in enumerate(container) if char in "{}"), None)
    if brace is not None:
        raise PatternError(text, brace, "the container part of a trigger path cannot hold an expression")
    if reason := _container_fault(container):
        raise PatternError(text, 0, reason)
    if slash and not blob:
        raise PatternError(text, len(container), "a blob name is missing after the `/`")
    template = Template.parse(text)
    captures, literals = _split(template, len(container) + 1)
    if not captures and blob and (reason := _blob_fault(literals[0])):
        raise PatternError(text, len(container) + 1, reason)
    return BlobPattern(text, container, captures, literals)


def parse_output_path(text: str) -> OutputPath:
    """Read the `path` of a blob output. Raises PatternError, with the position, when it is not one."""
    template = Template.parse(text)
    first = template.tokens[0] if template.tokens else Literal("")
    if isinstance(first, Literal):
        container, slash, _ = first.text.partition("/")
        if not slash and len(template.tokens) <= 1:
            raise PatternError(
                text, len(text), "an output path is `container/blob name`, a blob name is missing"
            )
        if slash and (reason := _container_fault(container)):
            raise PatternError(text, 0, reason)
    if not any(isinstance(token, Expression) for token in template.tokens):
        OutputPath(template).render({})
    return OutputPath(template)


def could_match(pattern: BlobPattern, output: OutputPath) -> bool:
    """Whether what `output` writes for a blob of `pattern` would, as a rule, trigger `pattern` again: a loop.

    Decided by writing the output of typical blobs. A chain that only odd names start, and that ends by itself
    (`c/in-{n}` -> `c/{n}` for `in-in-x`), is not counted.
    """
    for style in ("v{0}", "v{0}/w{0}", "v{0}.w{0}"):
        samples = [style.format(number) for number in range(len(pattern.captures))]
        blob = "".join(a + b for a, b in zip(pattern.literals, (*samples, ""), strict=True)) or "sample"
        captured = pattern.match(blob)
        if captured is None:
            continue
        path = _sample_output(output, {"BlobTrigger": f"{pattern.container}/{blob}", **captured})
        container, _, name = path.partition("/")
        if container == pattern.container and pattern.match(name) is not None:
            return True
    return False


def _sample_output(output: OutputPath, data: Mapping[str, str]) -> str:
    known = {name.lower() for name in data}
    parts: list[str] = []
    for token in output.template.tokens:
        if isinstance(token, Expression) and token.root.lower() not in known and not token.is_builtin:
            parts.append("sample")  # metadata, properties: any text
        else:
            parts.append(Template("", (token,)).render(data))
    return "".join(parts)


def _split(template: Template, skip: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Captures and the literals around them, from the character `skip` (after `container/`) on."""
    captures: list[str] = []
    literals = [""]
    for token in template.tokens:
        if isinstance(token, Literal):
            literals[-1] += token.text
            continue
        _check_capture(template.text, token)
        captures.append(token.name)
        literals.append("")
    literals[0] = literals[0][skip:]  # the container holds no brace, so no escape has shortened it
    return tuple(captures), tuple(literals)


def _check_capture(text: str, token: Expression) -> None:
    if token.is_builtin:
        raise PatternError(text, token.position, f"`{{{token.name}}}` cannot stand in a trigger path")
    if "." in token.name:
        raise PatternError(
            text, token.position, f"a trigger path cannot capture the dotted name `{token.name}`"
        )
    if token.format:
        raise PatternError(text, token.position, f"a capture takes no format: write `{{{token.name}}}`")


def _last_wins(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    spelling: dict[str, str] = {}
    found: dict[str, str] = {}
    for name, value in pairs:
        found[spelling.setdefault(name.lower(), name)] = value
    return found


def _container_fault(container: str) -> str | None:
    if not container:
        return "a container name is missing"
    if "\\" in container:
        return "a path uses `/`, not `\\`"
    return (
        None
        if _CONTAINER.fullmatch(container)
        else f"`{container}` is not a container name ({_CONTAINER_RULE})"
    )


def _blob_fault(blob: str) -> str | None:
    if not 1 <= len(blob) <= 1024:
        return "a blob name has 1 to 1024 characters"
    if "\\" in blob:
        return "a blob name cannot hold `\\`"
    return "a blob name cannot end in `.` or `/`" if blob[-1] in "./" else None
