"""Rewrites the SDK v1 imports of Python text, and nothing else of it; notes what a person has to decide.

The text may be a module, or the cells of a notebook that share their names.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from fnpack.migration.names import (
    INSTEAD_OF_MEMBERS,
    MODULES,
    instead,
    is_entry_script_module,
    new_module,
)

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_DOTTED = re.compile(r"azureml(?:\.[A-Za-z_]\w*)+")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person has to decide.

    `line` counts from 1, in the text or in the `cell`; `new_line` is where it is when the edits are made.
    """

    line: int
    name: str
    instead: str
    cell: int | None = None
    new_line: int = 0


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters from `start` to `end` of a text."""

    start: int
    end: int
    text: str


@dataclass(slots=True)
class Piece:
    """A text that parses, and what was found in it."""

    text: str
    tree: ast.Module
    cell: int | None = None
    edits: list[Edit] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def result(self) -> str:
        """The text with all edits."""
        text = self.text
        for edit in sorted(self.edits, key=lambda edit: edit.start, reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text

    def moved_findings(self) -> list[Finding]:
        """The findings, with the lines that they will be in."""
        shifts = []
        for edit in self.edits:
            added = edit.text.count("\n") - self.text.count("\n", edit.start, edit.end)
            shifts.append((self.text.count("\n", 0, edit.start) + 1, added))
        # What is left of a divided import stands in its last line.
        return [
            replace(found, new_line=found.line + sum(added for line, added in shifts if line <= found.line))
            for found in self.findings
        ]

    def find(self, node: ast.AST, name: str, what: str) -> None:
        """Note something for a person, once for a line."""
        finding = Finding(getattr(node, "lineno", 1), name, what, self.cell)
        if finding not in self.findings:
            self.findings.append(finding)

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node is in the text; ast counts in bytes of UTF-8 and lines."""
        lines = _LINE.findall(self.text)

        def offset(line: int, column: int) -> int:
            before = sum(map(len, lines[: line - 1]))
            here = lines[line - 1] if line <= len(lines) else ""
            return before + len(here.encode()[:column].decode(errors="ignore"))

        start = offset(getattr(node, "lineno", 1), getattr(node, "col_offset", 0))
        end = offset(getattr(node, "end_lineno", 1), getattr(node, "end_col_offset", 0))
        return start, end


def uses_sdk(text: str) -> bool:
    """Whether a text can have anything to do with SDK v1; quick."""
    return "azureml" in text


def is_entry_script(tree: ast.Module) -> bool:
    """Whether the text defines `init` and `run` at its top level: those need no change."""
    defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    return {"init", "run"} <= defined


def migrate(pieces: Sequence[Piece]) -> None:
    """Fill in the edits and findings of texts that share their names."""
    chains = [(piece, node, dotted) for piece in pieces for node, dotted in _chains(piece.tree)]
    stays = {dotted for _, _, dotted in chains if _moved_chain(dotted) is None}
    stays |= {name for piece in pieces for name in _unmoved_imports(piece.tree)}
    for piece in pieces:
        for node in ast.walk(piece.tree):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and _is_sdk(node.module):
                _import_from(piece, node, str(node.module))
            elif isinstance(node, ast.Import):
                _import(piece, node, stays)
            elif (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and _DOTTED.fullmatch(node.value)
            ):
                piece.find(
                    node, node.value, "a module's name as text: write the new one if it is imported by it"
                )
        _members(piece)
    for piece, node, dotted in chains:
        moved = _moved_chain(dotted)
        if moved is None:
            piece.find(node, dotted, instead(dotted.rpartition(".")[0], dotted.rpartition(".")[2]))
        elif not stays:
            piece.edits.append(Edit(*piece.span(node), moved))


def _import_from(piece: Piece, node: ast.ImportFrom, module: str) -> None:
    if is_entry_script_module(module):
        return
    moved: dict[str, list[ast.alias]] = {}
    left: list[ast.alias] = []
    for alias in node.names:
        target = (
            MODULES[module][0] if alias.name == "*" and module in MODULES else new_module(module, alias.name)
        )
        if target is None:
            left.append(alias)
            piece.find(node, f"{module}.{alias.name}", instead(module, alias.name))
        else:
            moved.setdefault(target, []).append(alias)
    if not moved:
        return
    start, end = piece.span(node)
    statement = piece.text[start:end]
    if len(moved) == 1 and not left:
        found = re.match(r"from(?:\s|\\\r?\n)+" + re.escape(module), statement)
        if found is not None:
            name_at = start + found.end() - len(module)
            piece.edits.append(Edit(name_at, name_at + len(module), next(iter(moved))))
            return
    if _has_comment(statement):
        listed = ", ".join(f"{target}: {', '.join(a.name for a in names)}" for target, names in moved.items())
        piece.find(node, module, f"split this import by hand, so that its comments stay; {listed}")
        return
    parts = [*moved.items(), *([(module, left)] if left else [])]
    line_start = piece.text.rfind("\n", 0, start) + 1
    before = piece.text[line_start:start]
    newline = "\r\n" if "\r\n" in piece.text else "\n"
    joint = newline + before if not before.strip() else "; "
    piece.edits.append(Edit(start, end, joint.join(_statement(target, names) for target, names in parts)))


def _statement(module: str, names: Sequence[ast.alias]) -> str:
    listed = ", ".join(a.name if a.asname is None else f"{a.name} as {a.asname}" for a in names)
    return f"from {module} import {listed}"


def _import(piece: Piece, node: ast.Import, stays: set[str]) -> None:
    """`import azureml.core` is rewritten with all that uses it, or with none of it."""
    for alias in node.names:
        if not _is_sdk(alias.name) or is_entry_script_module(alias.name):
            continue
        target = _moved_module(alias.name)
        if target is None:
            piece.find(node, alias.name, instead(alias.name))
        elif alias.asname is None and stays:
            named = ", ".join(sorted(stays))
            piece.find(node, alias.name, f"write `import {target}` when {named} is replaced")
        else:
            start, _ = piece.span(alias)
            piece.edits.append(Edit(start, start + len(alias.name), target))


def _unmoved_imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        for alias in node.names if isinstance(node, ast.Import) else ():
            if _is_sdk(alias.name) and alias.asname is None and _moved_module(alias.name) is None:
                yield alias.name


def _moved_module(module: str) -> str | None:
    """What a whole module is now; None for one of which only some names are elsewhere."""
    target = MODULES[module][0] if module in MODULES else None
    return target if target is not None and target.removeprefix("fnpack") in module else None


def _members(piece: Piece) -> None:
    for node in ast.walk(piece.tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner == "mlflow":  # it has methods of the same names
                continue
            for name in (f"{owner}.{node.attr}", node.attr):
                if name in INSTEAD_OF_MEMBERS:
                    piece.find(node, name, INSTEAD_OF_MEMBERS[name])
                    break


def _chains(tree: ast.Module) -> Iterator[tuple[ast.Attribute, str]]:
    """The longest known `azureml.core.model` in each `azureml.core.model.Model.register(...)`."""
    inner: set[int] = set()
    for node in ast.walk(tree):  # outer nodes come first
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue
        parts: list[tuple[ast.Attribute, str]] = []
        at: ast.expr = node
        while isinstance(at, ast.Attribute):
            parts.append((at, at.attr))
            at = at.value
        if not isinstance(at, ast.Name) or at.id != "azureml":
            continue
        inner |= {id(part) for part, _ in parts}
        parts.reverse()
        dotted, best = "azureml", (parts[-1][0], "azureml." + ".".join(name for _, name in parts))
        for part, name in parts:
            if dotted in MODULES and f"{dotted}.{name}" not in MODULES:
                best = (part, f"{dotted}.{name}")
                break
            dotted = f"{dotted}.{name}"
            if dotted in MODULES:
                best = (part, dotted)
        yield best


def _moved_chain(dotted: str) -> str | None:
    if dotted in MODULES:
        return MODULES[dotted][0]
    module, _, name = dotted.rpartition(".")
    target = new_module(module, name)
    return None if target is None else f"{target}.{name}"


def _is_sdk(module: str | None) -> bool:
    return module is not None and (module == "azureml" or module.startswith("azureml."))


def _has_comment(statement: str) -> bool:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(statement).readline))
    except (tokenize.TokenError, SyntaxError):
        return True
    return any(token.type == tokenize.COMMENT for token in tokens)
