"""Checks an entry script by reading it: its name, its syntax, its `init` and `run`. It never imports user code."""

from __future__ import annotations

import ast
import keyword
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fnpack_triggers.errors import FnpackError

# Names that the app directory, or the host that runs it, needs for itself.
_RESERVED = frozenset({"azure", "fnpack_scoring", "fnpack_host", "fnpack_triggers", "fnpack_templates"})
_EXAMPLE = "an entry script has `def init():` and `def run(data):` at its top level"

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class EntryScriptError(FnpackError):
    """The entry script cannot be used; the text names file, line and cause."""

    code = "FN320"


class EntryScriptEncodingError(EntryScriptError):
    """The entry script is not UTF-8 text."""

    code = "FN321"


class EntryScriptSyntaxError(EntryScriptError):
    """The entry script is not valid Python. `line` and `column` count from 1."""

    code = "FN322"

    def __init__(self, path: Path, error: SyntaxError) -> None:
        self.line, self.column = error.lineno or 1, error.offset or 1
        super().__init__(
            f"{path}:{self.line}:{self.column}: {error.msg}{_pointer(error.text, self.line, self.column)}",
            hint="correct the line, or check that it is written for the Python that runs fnpack",
        )


class EntryPointMissingError(EntryScriptError):
    """`init` or `run` is not defined at the script's top level."""

    code = "FN323"


class RunSignatureError(EntryScriptError):
    """`run` has parameters that a scoring call cannot fill."""

    code = "FN324"


class InitSignatureError(EntryScriptError):
    """`init` asks for arguments; it gets none."""

    code = "FN325"


class EntryScriptNameError(EntryScriptError):
    """The script's file name cannot be a module name, or hides a module that others need."""

    code = "FN326"


class EntryScript(NamedTuple):
    """What reading the script told. `parameters` is empty where `run` is imported or assigned from elsewhere."""

    path: Path
    is_async: bool = False
    wants_raw: bool = False
    parameters: tuple[str, ...] = ()


def check_entry_script(path: Path) -> EntryScript:
    """Read the script at `path` and return what its `run` looks like; raise EntryScriptError where it is unfit."""
    _check_name(path)
    tree = _parse(path)
    if any(isinstance(node, ast.ImportFrom) and _imports_all(node) for node in _top_level(tree.body)):
        bound: dict[str, ast.stmt | None] = {"init": None, "run": None}
    else:
        bound = {}
    for node in _top_level(tree.body):
        bound.update((name, node) for name in _names(node))
    missing = [name for name in ("init", "run") if name not in bound]
    if missing:
        functions = " and ".join(f"`{name}`" for name in missing)
        raise EntryPointMissingError(f"{path}:1: defines no {functions}", hint=_EXAMPLE)
    _check_init(path, bound["init"])
    return _check_run(path, bound["run"], tree)


def _check_name(path: Path) -> None:
    name = path.stem
    if path.suffix != ".py":
        raise EntryScriptNameError(f"{path}: an entry script's name ends in `.py`", hint="rename the file")
    if not name.isidentifier() or keyword.iskeyword(name):
        reason = "is a Python keyword" if keyword.iskeyword(name) else "is not a Python name"
        raise EntryScriptNameError(
            f"{path}: `{name}` {reason}, so the script cannot be imported",
            hint="rename it with letters, digits and underscores, for example score.py",
        )
    if name in sys.stdlib_module_names or name in _RESERVED:
        owner = "Python's standard library" if name in sys.stdlib_module_names else "the function host"
        raise EntryScriptNameError(
            f"{path}: the name hides the module `{name}` of {owner} from every other import",
            hint="rename it, for example to score.py",
        )


def _parse(path: Path) -> ast.Module:
    try:
        source = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise EntryScriptError(
            f"{path}: the entry script does not exist",
            hint="give its path relative to the source directory, or to the current directory without one",
        ) from None
    except OSError as error:
        raise EntryScriptError(
            f"{path}: the entry script cannot be read: {error.strerror}",
            hint="an entry script is a readable file",
        ) from error
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise EntryScriptEncodingError(
            f"{path}:{line}: not UTF-8 text (byte 0x{source[error.start]:02x})", hint="save the file as UTF-8"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in user code is the user's to see, not ours
            return ast.parse(text, filename=str(path))
    except SyntaxError as error:
        raise EntryScriptSyntaxError(path, error) from None
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL byte; nesting beyond the parser
        raise EntryScriptSyntaxError(path, SyntaxError(str(error) or "too deeply nested")) from None


def _pointer(text: str | None, line: int, column: int) -> str:
    """The faulty line with a caret below; tabs are kept in the caret's line so that it stays in place."""
    if not text or not text.strip():
        return ""
    text = text.rstrip("\r\n").split("\n")[0]
    lead = "".join("\t" if character == "\t" else " " for character in text[: column - 1])
    return f"\n{line:5} | {text}\n      | {lead}^"


def _top_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that bind module names: the top level, and blocks that run at import (`if`, `try`, `with`)."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
            for block in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(node, block, []))
            for handler in getattr(node, "handlers", []):
                yield from _top_level(handler.body)


def _imports_all(node: ast.ImportFrom) -> bool:
    return any(alias.name == "*" for alias in node.names)


def _names(node: ast.stmt) -> Iterator[str]:
    """The module-level names that a statement binds."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from (alias.asname or alias.name.split(".")[0] for alias in names)
        case ast.Assign(targets=targets):
            yield from (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
            yield name


def _check_init(path: Path, node: ast.stmt | None) -> None:
    if not isinstance(node, _Function):
        return
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    required = [argument.arg for argument in positional[: len(positional) - len(given.defaults)]]
    required += [a.arg for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True) if d is None]
    if required:
        raise InitSignatureError(
            f"{path}:{node.lineno}: `init` asks for {_listed(required)}, but it is called without arguments",
            hint="write `def init():`, and read AZUREML_MODEL_DIR from the environment",
        )
    if isinstance(node, ast.AsyncFunctionDef):
        raise InitSignatureError(
            f"{path}:{node.lineno}: `init` is async, but it is called before any event loop runs",
            hint="write `def init():`; only `run` may be async",
        )


def _check_run(path: Path, node: ast.stmt | None, tree: ast.Module) -> EntryScript:
    if not isinstance(node, _Function):
        return EntryScript(path)
    given = node.args
    parameters = [argument.arg for argument in (*given.args, *given.kwonlyargs)]
    reason = ""
    if given.posonlyargs:
        reason = f"has a positional-only parameter (`{given.posonlyargs[0].arg}, /`)"
    elif given.vararg:
        reason = f"has `*{given.vararg.arg}`"
    elif given.kwarg:
        reason = f"has `**{given.kwarg.arg}`"
    elif not [name for name in parameters if name != "request_headers"]:
        reason = "has no parameter for its input"
    if reason:
        raise RunSignatureError(
            f"{path}:{node.lineno}: `run` {reason}",
            hint="write `def run(data):`, with plainly named parameters",
        )
    return EntryScript(
        path,
        is_async=isinstance(node, ast.AsyncFunctionDef),
        wants_raw=_wants_raw(node, tree),
        parameters=tuple(parameters),
    )


def _wants_raw(node: _Function, tree: ast.Module) -> bool:
    """Whether `run` carries SDK v1's `@rawhttp`, under whatever name it was imported."""
    names = {"rawhttp"} | {
        alias.asname
        for statement in _top_level(tree.body)
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        if alias.name == "rawhttp" and alias.asname
    }
    return any(
        (isinstance(decorator, ast.Name) and decorator.id in names)
        or (isinstance(decorator, ast.Attribute) and decorator.attr == "rawhttp")
        for decorator in node.decorator_list
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
