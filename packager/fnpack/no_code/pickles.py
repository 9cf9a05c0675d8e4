"""Reads what a pickle or joblib file would make, without making any of it: no import, no call, no array in memory.

The opcodes run on a machine that only notes: a class is its name, an object is its class's name with what it would
be given. joblib's arrays, whose bytes lie between the opcodes, are passed over.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol, cast

LONGEST_LINE = 1 << 16
_KEPT_BYTES = 4096  # a longer text or bytes value is passed over
_MOST_OPCODES = 3_000_000  # a few seconds; what was seen until then is enough to know the framework
_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_VERSION_KEY = "_sklearn_version"


class PickleError(ValueError):
    """The bytes are not a pickle, or end too soon."""


class Source(Protocol):
    """Bytes that are read forward only."""

    def read(self, size: int, /) -> bytes:
        """The next bytes; fewer at the end."""

    def readline(self) -> bytes:
        """The bytes up to the next line end."""

    def skip(self, size: int) -> None:
        """Pass over bytes."""


@dataclass(slots=True, eq=False)
class Global:
    """A class or function by its name: `module` and `name`."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Made:
    """An object that loading would make: by calling `maker` with `arguments`, then given `state`."""

    maker: object
    arguments: object = ()
    state: object = None
    items: list[object] = field(default_factory=list)  # what a list or dict of its own kind was given

    def attribute(self, name: str) -> object:
        """An attribute of its state, or None."""
        state = self.state[0] if isinstance(self.state, tuple) and self.state else self.state
        return state.get(name) if isinstance(state, dict) else None


@dataclass(slots=True)
class Pickled:
    """What was found. `root` is what loading gives; `is_whole` says whether all was read."""

    root: object = None
    globals: set[str] = field(default_factory=set)  # `module.name` of each class and function
    sklearn_versions: list[str] = field(default_factory=list)
    is_whole: bool = True

    @property
    def modules(self) -> set[str]:
        """The modules of the classes and functions."""
        return {name.rpartition(".")[0] for name in self.globals}


class FileSource:
    """A plain file: what is passed over is not read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.read = file, file.read
        here = file.tell()
        self._end = file.seek(0, 2)
        file.seek(here)

    def readline(self) -> bytes:
        """The bytes up to the next line end, of a line that is not too long."""
        return self._file.readline(LONGEST_LINE)

    def skip(self, size: int) -> None:
        """Pass over bytes. Raises PickleError where there are not so many."""
        if size > self._end - self._file.tell():
            raise PickleError("the pickle ends inside a value")
        self._file.seek(size, 1)


def read_pickle(source: Source) -> Pickled:
    """What the pickle in `source` would make. Raises PickleError where it is none."""
    try:
        with warnings.catch_warnings():
            # Of a text with a wrong escape: the file is damaged, or it reads all the same.
            warnings.simplefilter("ignore")
            return _Machine(source, Pickled()).run()
    except RecursionError as error:
        raise PickleError("it is nested too deeply") from error


class _Mark:
    """Where a list of arguments begins on the stack."""


_MARK = _Mark()


class _Machine:
    """Runs opcodes; `found` is shared with the pickles inside, which joblib has for arrays of objects."""

    def __init__(self, source: Source, found: Pickled, left: list[int] | None = None) -> None:
        self._source, self._found = source, found
        self._left = left if left is not None else [_MOST_OPCODES]
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._last: object = None

    def run(self) -> Pickled:
        found = self._found
        for name, argument in self._opcodes():
            if name == "STOP":
                found.root = self._pop()
                return found
            self._do(name, argument)
            self._left[0] -= 1
            if self._left[0] < 0:
                found.is_whole = False
                found.root = self._stack[0] if self._stack else None
                return found
        raise PickleError("the pickle ends before its end mark")

    def _opcodes(self) -> Iterator[tuple[str, object]]:
        while True:
            code = self._source.read(1)
            if not code:
                return
            opcode = _OPCODES.get(code)
            if opcode is None:
                raise PickleError(f"{code!r} is no opcode")
            yield opcode.name, self._argument(opcode)

    def _argument(self, opcode: pickletools.OpcodeInfo) -> object:
        kind = opcode.arg
        if kind is None:
            return None
        if kind.name in _SIZES:
            size = int.from_bytes(self._bytes(_SIZES[kind.name]), "little")
            if size > _KEPT_BYTES:
                self._source.skip(size)
                return None
            data = self._bytes(size)
            return data.decode("utf-8", "replace") if "unicode" in kind.name else data
        try:
            return cast("object", kind.reader(self._source))  # type: ignore[arg-type]
        except (ValueError, IndexError) as error:
            raise PickleError(f"{opcode.name}: {error}") from error

    def _bytes(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) < size:
            raise PickleError("the pickle ends inside a value")
        return data

    def _do(self, name: str, argument: object) -> None:
        if name in _CONSTANTS:
            self._push(_CONSTANTS[name]())
        elif name in _VALUES:
            self._push(argument)
        elif name == "MARK":
            self._stack.append(_MARK)
        else:
            action = _ACTIONS.get(name)
            if action is not None:
                action(self, argument)
            elif name not in _IGNORED:
                raise PickleError(f"{name} is not known")

    def _push(self, value: object) -> None:
        if self._last == _VERSION_KEY and isinstance(value, str):
            self._found.sklearn_versions.append(value)
        self._last = value if isinstance(value, str) else None
        self._stack.append(value)

    def _pop(self) -> object:
        if not self._stack:
            raise PickleError("the stack is empty")
        return self._stack.pop()

    def _drop(self, *, to_mark: bool = False) -> None:
        if to_mark:
            self._to_mark()
        else:
            self._pop()

    def _top(self) -> object:
        if not self._stack:
            raise PickleError("the stack is empty")
        return self._stack[-1]

    def _to_mark(self) -> list[object]:
        values: list[object] = []
        while (value := self._pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _global(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("a class without a name")
        one = Global(module, name)
        self._found.globals.add(str(one))
        self._stack.append(one)

    # --- opcodes ---

    def _named(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self._global(module, name)

    def _stack_named(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        self._global(module, name)

    def _instance(self, argument: object) -> None:
        arguments = tuple(self._to_mark())
        self._named(argument)
        self._stack.append(Made(self._pop(), arguments))

    def _object(self, _: object) -> None:
        maker, *arguments = self._to_mark() or [None]
        self._stack.append(Made(maker, tuple(arguments)))

    def _reduce(self, _: object) -> None:
        arguments, maker = self._pop(), self._pop()
        self._stack.append(_made(maker, arguments))

    def _new(self, _: object) -> None:
        arguments, maker = self._pop(), self._pop()
        self._stack.append(Made(maker, arguments))

    def _new_with_names(self, _: object) -> None:
        self._pop()
        self._new(_)

    def _build(self, _: object) -> None:
        state, top = self._pop(), self._top()
        if isinstance(top, Made):
            top.state = state
            if str(top.maker) == _WRAPPER:
                self._pass_array(top)

    def _pass_array(self, wrapper: Made) -> None:
        """Pass over the bytes of joblib's array; an array of objects is a pickle of its own."""
        dtype, shape = wrapper.attribute("dtype"), wrapper.attribute("shape")
        if wrapper.attribute("numpy_array_alignment_bytes") is not None and not _holds_objects(dtype):
            self._source.skip(self._bytes(1)[0])
        if _holds_objects(dtype):
            outer = self._found.root
            _Machine(self._source, self._found, self._left).run()
            wrapper.items, self._found.root = [self._found.root], outer
            return
        count = 1
        for size in shape if isinstance(shape, tuple) else ():
            count *= size if isinstance(size, int) else 1
        self._source.skip(count * _item_size(dtype))

    def _append(self, _: object) -> None:
        self._add([self._pop()])

    def _add(self, values: list[object]) -> None:
        top = self._top()
        if isinstance(top, list):
            top.extend(values)
        elif isinstance(top, set):
            top.update(value for value in values if isinstance(value, str | int | float | bytes))
        elif isinstance(top, Made):
            top.items.extend(values)

    def _set_items(self, values: list[object]) -> None:
        top = self._top()
        pairs = zip(values[::2], values[1::2], strict=False)
        if isinstance(top, dict):
            top.update((key, value) for key, value in pairs if _is_key(key))
        elif isinstance(top, Made):
            top.items.extend(pairs)

    def _set_item(self, _: object) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def _dict(self, _: object) -> None:
        values = self._to_mark()
        self._stack.append({})
        self._set_items(values)

    def _tuple_of(self, size: int) -> None:
        if len(self._stack) < size:
            raise PickleError("the stack is empty")
        self._stack[-size:] = [tuple(self._stack[-size:])]

    def _put(self, argument: object) -> None:
        self._memo[int(cast("int", argument))] = self._top()

    def _get(self, argument: object) -> None:
        number = int(cast("int", argument))
        if number not in self._memo:
            raise PickleError(f"nothing was kept as {number}")
        self._push(self._memo[number])


def _made(maker: object, arguments: object) -> object:
    """What a call would give: of `copyreg._reconstructor` an object of the class that it names."""
    is_plain = str(maker) in {"copyreg._reconstructor", "copy_reg._reconstructor"}
    if is_plain and isinstance(arguments, tuple) and arguments:
        return Made(arguments[0])
    return Made(maker, arguments)


def _is_key(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _holds_objects(dtype: object) -> bool:
    return _dtype_text(dtype).lstrip("|<>=").startswith("O")


def _dtype_text(dtype: object) -> str:
    arguments = dtype.arguments if isinstance(dtype, Made) else ()
    first = arguments[0] if isinstance(arguments, tuple) and arguments else ""
    return first if isinstance(first, str) else ""


def _item_size(dtype: object) -> int:
    """The bytes of one item: `f8` has 8, `U5` five times 4, `V64` 64."""
    text = _dtype_text(dtype).lstrip("|<>=")
    digits = text[1:].partition("[")[0]
    if not digits.isdecimal():
        raise PickleError(f"an array of {text or 'an unknown type'}")
    return int(digits) * (4 if text[0] == "U" else 1)


_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
# Arguments that say their own length first: the bytes of that length.
_SIZES = {
    "string1": 1,
    "string4": 4,
    "bytes1": 1,
    "bytes4": 4,
    "bytes8": 8,
    "bytearray8": 8,
    "long4": 4,
    "unicodestring1": 1,
    "unicodestring4": 4,
    "unicodestring8": 8,
}
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "NEXT_BUFFER": lambda: None,
}
_VALUES = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING"),
        *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE"),
        *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "PERSID", "EXT1", "EXT2", "EXT4"),
    }
)
_IGNORED = frozenset({"PROTO", "FRAME", "READONLY_BUFFER", "BINPERSID"})
_ACTIONS: dict[str, Callable[[_Machine, object], None]] = {
    "GLOBAL": _Machine._named,
    "STACK_GLOBAL": _Machine._stack_named,
    "INST": _Machine._instance,
    "OBJ": _Machine._object,
    "REDUCE": _Machine._reduce,
    "NEWOBJ": _Machine._new,
    "NEWOBJ_EX": _Machine._new_with_names,
    "BUILD": _Machine._build,
    "APPEND": _Machine._append,
    "APPENDS": lambda machine, _: machine._add(machine._to_mark()),
    "ADDITEMS": lambda machine, _: machine._add(machine._to_mark()),
    "SETITEM": _Machine._set_item,
    "SETITEMS": lambda machine, _: machine._set_items(machine._to_mark()),
    "LIST": lambda machine, _: machine._stack.append(machine._to_mark()),
    "TUPLE": lambda machine, _: machine._stack.append(tuple(machine._to_mark())),
    "DICT": _Machine._dict,
    "FROZENSET": lambda machine, _: machine._stack.append(tuple(machine._to_mark())),
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "POP": lambda machine, _: machine._drop(),
    "POP_MARK": lambda machine, _: machine._drop(to_mark=True),
    "DUP": lambda machine, _: machine._stack.append(machine._top()),
    "PUT": _Machine._put,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": lambda machine, _: machine._put(len(machine._memo)),
    "GET": _Machine._get,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
}
