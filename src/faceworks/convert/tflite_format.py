"""Reader of TensorFlow Lite files: FlatBuffers tables, as TensorFlow's public `schema.fbs` numbers their fields. Nothing is executed.

A table starts with the distance back to its vtable, which holds the place of every field by number (0: absent, take the default); vectors, strings
and tables inside others are given by their distance from where they are named. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError

__all__ = ["Network", "Operator", "Table", "Tensor", "read"]

Array = NDArray[Any]

_TYPES: Mapping[int, str] = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 9: "i1"}
_NAMES: Mapping[int, str] = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE", 14: "LOGISTIC", 17: "MAX_POOL_2D",
    19: "RELU", 21: "RELU6", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 34: "PAD", 54: "PRELU",
}  # fmt: skip


class Table:
    """One FlatBuffers table; fields are asked for by number."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place
        self._fields = place - struct.unpack_from("<i", data, place)[0]
        self._length = struct.unpack_from("<H", data, self._fields)[0]

    def _at(self, field: int) -> int:
        """Where a field lies; 0 when it is absent."""
        entry = 4 + 2 * field
        offset = struct.unpack_from("<H", self._data, self._fields + entry)[0] if entry < self._length else 0
        return self._place + offset if offset else 0

    def _follow(self, place: int) -> int:
        return place + int(struct.unpack_from("<I", self._data, place)[0])

    def number(self, field: int, kind: str = "i", default: int = 0) -> int:
        """A scalar, `kind` in `struct`'s letters."""
        place = self._at(field)
        return int(struct.unpack_from(f"<{kind}", self._data, place)[0]) if place else default

    def table(self, field: int) -> Table | None:
        """A table inside."""
        place = self._at(field)
        return Table(self._data, self._follow(place)) if place else None

    def _vector(self, field: int) -> tuple[int, int]:
        place = self._at(field)
        if not place:
            return 0, 0
        start = self._follow(place)
        return int(struct.unpack_from("<I", self._data, start)[0]), start + 4

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        count, start = self._vector(field)
        return [Table(self._data, self._follow(start + 4 * index)) for index in range(count)]

    def array(self, field: int, kind: str) -> Array:
        """A vector of numbers."""
        count, start = self._vector(field)
        return np.frombuffer(self._data, kind, count, start) if count else np.zeros(0, kind)

    def text(self, field: int) -> str:
        """A string."""
        count, start = self._vector(field)
        return self._data[start : start + count].decode("utf-8")


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor of the graph; `data` where it is a constant."""

    name: str
    shape: tuple[int, ...]
    data: Array | None


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """One step: its name, the numbers of its tensors (−1: absent) and its options."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None

    def option(self, field: int, kind: str = "b", default: int = 0) -> int:
        """A scalar of the options."""
        return default if self.options is None else self.options.number(field, kind, default)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """The first subgraph of a file."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(path: Path) -> Network:
    """Read a file.

    Raises:
        ConversionError: no TensorFlow Lite file, cut off, quantized, sparse, or with an operator that is not known here.
    """
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise ConversionError(f"{path.name} is no TensorFlow Lite file (it does not say TFL3)")
    try:
        return _network(path.name, data)
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path.name} is damaged or cut off: {error}") from error


def _network(name: str, data: bytes) -> Network:
    model = Table(data, struct.unpack_from("<I", data, 0)[0])
    # the code moved from a byte to an int when there came to be more than 127 operators; old files have the byte alone
    codes = [max(item.number(0, "b"), item.number(3)) for item in model.tables(1)]
    graph, buffers = model.tables(2)[0], model.tables(4)
    tensors = [_tensor(name, item, buffers) for item in graph.tables(0)]
    operators = []
    for item in graph.tables(3):
        code = codes[item.number(0, "I")]
        if code not in _NAMES:
            raise ConversionError(f"{name}: the operator {code} of TensorFlow Lite is not known here; known: {', '.join(_NAMES.values())}")
        places = [tuple(int(index) for index in item.array(field, "<i4")) for field in (1, 2)]
        operators.append(Operator(_NAMES[code], places[0], places[1], item.table(4)))
    ends = [tuple(int(index) for index in graph.array(field, "<i4")) for field in (1, 2)]
    return Network(tuple(tensors), tuple(operators), ends[0], ends[1])


def _tensor(name: str, item: Table, buffers: list[Table]) -> Tensor:
    kind, shape = item.number(1, "b"), tuple(int(side) for side in item.array(0, "<i4"))
    if kind not in _TYPES or item.table(6) is not None:
        raise ConversionError(f"{name}: the tensor {item.text(3)!r} is sparse or of the type {kind}; float and float16 files are read here")
    raw = buffers[item.number(2, "I")].array(0, "u1")
    constant = np.frombuffer(raw.tobytes(), _TYPES[kind]).reshape(shape) if raw.size else None
    return Tensor(item.text(3), shape, constant)
