"""A pickle read opcode by opcode: plain data is built, every other name becomes an inert `Placeholder`. Nothing is imported, nothing is called.

`pickletools.genops` splits the stream (it executes nothing); the machine below keeps stack and memo. What a few well-known names mean (ordered
dicts, NumPy arrays, torch tensors) is data too: `MEANINGS` in `meanings.py` maps a name to a function of our own.
"""

from __future__ import annotations

import pickletools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from ..errors import ConversionError

__all__ = ["Build", "Global", "Meaning", "Placeholder", "Reader", "hashable"]

_STEPS = 50_000_000
_INTEGER = 1 << 16
"""Longest integer in bytes."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle mentions; never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Placeholder:
    """An object of a class that is not ours to build: its class or function, the arguments, the state, list items and dict items."""

    kind: str
    arguments: Any = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)
    entries: dict[Any, Any] = field(default_factory=dict)


class Build:
    """An object of ours under construction: `build(state, stream)` takes the state of a BUILD opcode."""

    def build(self, state: Any, stream: BytesIO) -> None:
        """Take the state."""
        raise NotImplementedError


Meaning = Callable[[Any], Any]
_MARK = object()
_SCALARS = (str, bytes, int, float, complex, bool, type(None), Placeholder, Global)
_PUSH_ARGUMENT = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def hashable(value: Any) -> Any:
    """A dict key or set item: scalars and flat tuples of them (hashing a tuple nested a million deep would exhaust the C stack)."""
    if isinstance(value, _SCALARS) or (isinstance(value, tuple) and all(isinstance(item, _SCALARS) for item in value)):
        return value
    raise ConversionError(f"the pickle uses a {type(value).__name__} as a dictionary key or set item")


def _text(value: str) -> str | bytes:
    """A string of Python 2: text when it is ASCII, else bytes (pictures, raw arrays)."""
    return value if value.isascii() else value.encode("latin-1")


class Reader:
    """Reads one pickle after the other from a stream.

    Args:
        stream: the bytes; arrays that follow an object outside the pickle (joblib) are read from it too.
        meanings: name → function of the arguments, for the names that are understood.
        persistent: what a persistent id stands for; without it a pickle that has one is refused.
    """

    def __init__(self, stream: BytesIO, meanings: Mapping[str, Meaning], persistent: Meaning | None = None) -> None:
        self.stream = stream
        self._meanings = meanings
        self._persistent = persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The next object of the stream.

        Raises:
            ConversionError: not a complete, sane pickle.
        """
        self._stack, self._memo = [], {}
        handlers = self._handlers()
        try:
            for step, (opcode, argument, _) in enumerate(pickletools.genops(self.stream)):
                name = opcode.name
                if step > _STEPS:
                    raise ConversionError(f"the pickle has more than {_STEPS} steps")
                if name == "STOP":
                    return self._pop()
                if name in _PUSH_ARGUMENT:
                    if type(argument) is int and argument.bit_length() > 8 * _INTEGER:
                        raise ConversionError(f"the pickle holds an integer of {argument.bit_length()} bits")
                    self._stack.append(argument)
                elif name in _CONSTANTS:
                    self._stack.append(_CONSTANTS[name])
                else:
                    handlers[name](argument)
        except ConversionError:
            raise
        except KeyError as error:
            raise ConversionError(f"the pickle is broken or uses an opcode that is not read here: {error}") from None
        except (ValueError, IndexError, TypeError, AttributeError, UnicodeError, OverflowError, MemoryError, RecursionError) as error:
            raise ConversionError(f"the pickle is broken: {error}") from error
        raise ConversionError("the pickle ends without its STOP")

    def _handlers(self) -> dict[str, Callable[[Any], None]]:
        """Opcode name → what it does to stack and memo."""
        push, pop, marked, memo = self._push, self._pop, self._marked, self._memo

        def nothing(_: Any) -> None:
            """Framing."""

        def put(index: int) -> None:
            memo[index] = self._top()

        def get(index: int) -> None:
            push(memo[index])

        return {
            "PROTO": nothing, "FRAME": nothing, "READONLY_BUFFER": nothing,
            "MARK": lambda _: push(_MARK), "POP": self._drop, "POP_MARK": self._drop_marked, "DUP": lambda _: push(self._top()),
            "STRING": lambda a: push(_text(a)), "BINSTRING": lambda a: push(_text(a)), "SHORT_BINSTRING": lambda a: push(_text(a)),
            "BYTEARRAY8": lambda a: push(bytes(a)),
            "EMPTY_LIST": lambda _: push([]), "EMPTY_DICT": lambda _: push({}), "EMPTY_TUPLE": lambda _: push(()), "EMPTY_SET": lambda _: push(set()),
            "LIST": lambda _: push(marked()), "TUPLE": lambda _: push(tuple(marked())), "DICT": lambda _: push(self._filled({}, marked())),
            "FROZENSET": lambda _: push(frozenset(hashable(item) for item in marked())),
            "TUPLE1": lambda _: push((pop(),)), "TUPLE2": lambda _: push(self._tuple(2)), "TUPLE3": lambda _: push(self._tuple(3)),
            "APPEND": lambda _: self._extend([pop()]), "APPENDS": lambda _: self._extend(marked()),
            "SETITEM": lambda _: self._set_items(list(self._tuple(2))), "SETITEMS": lambda _: self._set_items(marked()), "ADDITEMS": self._add,
            "PUT": put, "BINPUT": put, "LONG_BINPUT": put, "MEMOIZE": lambda _: put(len(memo)),
            "GET": get, "BINGET": get, "LONG_BINGET": get,
            "GLOBAL": lambda a: push(Global(*a.split(" ", 1))), "STACK_GLOBAL": lambda _: push(self._named(*self._tuple(2))),
            "PERSID": self._outside, "BINPERSID": lambda _: self._outside(pop()),
            "REDUCE": lambda _: push(self._made(*self._tuple(2))), "NEWOBJ": lambda _: push(self._made(*self._tuple(2))),
            "NEWOBJ_EX": self._new_with_words, "INST": self._instance, "OBJ": self._object, "BUILD": self._build,
        }  # fmt: skip

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _drop(self, _: Any) -> None:
        del self._stack[-1]

    def _drop_marked(self, _: Any) -> None:
        self._marked()

    def _top(self) -> Any:
        if self._stack[-1] is _MARK:
            raise ConversionError("the pickle is broken: a mark stands where a value must")
        return self._stack[-1]

    def _pop(self) -> Any:
        value = self._top()
        del self._stack[-1]
        return value

    def _tuple(self, count: int) -> tuple[Any, ...]:
        return tuple(reversed([self._pop() for _ in range(count)]))

    def _marked(self) -> list[Any]:
        """Everything above the last mark."""
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                values = self._stack[index + 1 :]
                del self._stack[index:]
                return values
        raise ConversionError("the pickle is broken: a mark is missing")

    @staticmethod
    def _named(module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ConversionError("the pickle names a class by something that is no text")
        return Global(sys.intern(module), sys.intern(name))

    @staticmethod
    def _filled(target: dict[Any, Any], flat: list[Any]) -> dict[Any, Any]:
        if len(flat) % 2:
            raise ConversionError("the pickle is broken: a dictionary key without a value")
        for index in range(0, len(flat), 2):
            target[hashable(flat[index])] = flat[index + 1]
        return target

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, Placeholder):
            target.items.extend(values)
        elif isinstance(target, list):
            target.extend(values)
        else:
            raise ConversionError(f"the pickle is broken: it appends to a {type(target).__name__}")

    def _set_items(self, flat: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, (dict, Placeholder)):
            raise ConversionError(f"the pickle is broken: it sets an item of a {type(target).__name__}")
        self._filled(target.entries if isinstance(target, Placeholder) else target, flat)

    def _add(self, _: Any) -> None:
        values, target = self._marked(), self._top()
        if isinstance(target, Placeholder):
            target.items.extend(values)
        elif isinstance(target, set):
            target.update(hashable(item) for item in values)
        else:
            raise ConversionError(f"the pickle is broken: it adds to a {type(target).__name__}")

    def _outside(self, key: Any) -> None:
        """Something that lies outside the pickle: torch names its storages so."""
        if self._persistent is None:
            raise ConversionError("the pickle refers to something outside itself")
        self._push(self._persistent(key))

    def _made(self, what: Any, arguments: Any) -> Any:
        """What a call would give: our own reading of a known name, or a placeholder. Nothing is called that the pickle chose."""
        if not isinstance(arguments, tuple):
            raise ConversionError("the pickle is broken: arguments that are no tuple")
        if isinstance(what, Global):
            meaning = self._meanings.get(str(what))
            return meaning(arguments) if meaning else Placeholder(str(what), arguments)
        return Placeholder("?", (what, arguments))

    def _new_with_words(self, _: Any) -> None:
        what, arguments, words = self._tuple(3)
        self._push(Placeholder(str(what), (arguments, words)))

    def _instance(self, argument: str) -> None:
        self._push(self._made(Global(*argument.split(" ", 1)), tuple(self._marked())))

    def _object(self, _: Any) -> None:
        what, *arguments = self._marked()
        self._push(self._made(what, tuple(arguments)))

    def _build(self, _: Any) -> None:
        state = self._pop()
        target = self._top()
        if isinstance(target, Build):
            target.build(state, self.stream)
        elif isinstance(target, Placeholder):
            target.state = state
        # the attributes of an OrderedDict (torch's `_metadata`) and the like are left out
