"""The Python of a Jupyter notebook: its cells as texts that parse, and the notebook written as it was."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence

from fnpack.migration.source import Finding, Piece, is_entry_script, migrate, uses_sdk

_INSTALL = re.compile(r"azureml[-_.]")
_PLAIN_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")


def migrate_notebook(text: str) -> tuple[str, list[Finding]]:
    """The notebook with its imports rewritten, and what a person has to decide. Raises ValueError if it is none."""
    notebook = json.loads(text)
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("it has no cells")  # noqa: TRY004 - the file's content
    pieces: list[Piece] = []
    findings: list[Finding] = []
    for number, cell in enumerate(notebook["cells"], 1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = _source(cell)
        if uses_sdk(source):
            found = _piece(source, number, findings)
            if found is not None:
                pieces.append(found)
    migrate(pieces)
    for piece in pieces:
        findings += piece.moved_findings()
        if piece.edits and piece.cell is not None:
            _replace(notebook["cells"][piece.cell - 1], piece)
    findings.sort(key=lambda finding: (finding.cell or 0, finding.line))
    return (_dumped(notebook, text) if any(piece.edits for piece in pieces) else text), findings


def _source(cell: dict[str, object]) -> str:
    source = cell.get("source")
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def _piece(source: str, number: int, findings: list[Finding]) -> Piece | None:
    """The cell as a text that parses; None where it is not Python of this notebook."""
    first = source.lstrip().split(maxsplit=1)[0] if source.strip() else ""
    if first.startswith("%%") and first not in _PLAIN_MAGICS:
        body = source.lstrip().partition("\n")[2]
        if not (first == "%%writefile" and _defines_entry_script(body)):
            findings.append(
                Finding(1, first, "this cell is no Python of the notebook: change its names by hand", number)
            )
        return None
    lines = source.split("\n")
    for index, line in enumerate(lines):
        if _INSTALL.search(line) and line.lstrip().startswith(
            ("%pip", "!pip", "%conda", "!conda", "!python")
        ):
            findings.append(Finding(index + 1, line.strip(), "pip install 'fnpack[all]'", number))
        lines[index] = _without_magic(line)
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError):
        findings.append(
            Finding(1, "azureml", "the cell is not valid Python: change its names by hand", number)
        )
        return None
    # Magics keep their place: what replaces them for the parser is never written.
    return Piece(source, tree, number)


def _without_magic(line: str) -> str:
    bare = line.lstrip()
    indent = line[: len(line) - len(bare)]
    if bare.startswith(("%", "!", "?")) or re.fullmatch(r"[\w.]+\?{1,2}\s*", bare):
        return f"{indent}pass"
    assigned = re.match(r"([\w, ]+=\s*)[!%]", bare)
    return f"{indent}{assigned[1]}None" if assigned else line


def _defines_entry_script(text: str) -> bool:
    try:
        return is_entry_script(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        return False


def _replace(cell: dict[str, object], piece: Piece) -> None:
    result = piece.result()
    cell["source"] = result.splitlines(keepends=True) if isinstance(cell.get("source"), list) else result


def _dumped(notebook: dict[str, object], text: str) -> str:
    """As JSON in the form that the file had, which is found by writing the old content again."""
    forms: Sequence[tuple[int | str | None, bool]] = [
        (indent, ascii_only) for indent in (1, 2, 4, "\t", None) for ascii_only in (False, True)
    ]
    plain = text.replace("\r\n", "\n")
    end = plain[len(plain.rstrip("\n")) :]
    old = json.loads(text)
    for indent, ascii_only in forms:
        if json.dumps(old, indent=indent, ensure_ascii=ascii_only) + end == plain:
            written = json.dumps(notebook, indent=indent, ensure_ascii=ascii_only) + end
            return written.replace("\n", "\r\n") if "\r\n" in text else written
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
