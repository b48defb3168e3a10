"""What well-known names in a pickle mean, as data: containers, NumPy arrays (also joblib's, whose bytes follow the object) and torch tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError
from .opcodes import Build, Global, Meaning, Placeholder, Reader, hashable

__all__ = ["Array", "Storage", "Tensor", "meanings"]

_DTYPE = re.compile(r"[<>|=]?(?:[?bBhHiIlLqQefdFD]|b1|[iu][1248]|f[248]|c8|c16|[SU][1-9][0-9]{0,8}|[mM]8|O8?)")
_STORAGES = {
    "Double": "f8", "Float": "f4", "Half": "f2", "BFloat16": "bfloat16", "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1", "Byte": "u1",
    "Bool": "?", "ComplexFloat": "c8", "ComplexDouble": "c16", "Untyped": "u1",
}  # fmt: skip
_TORCH_DTYPES = {
    "float64": "f8", "double": "f8", "float32": "f4", "float": "f4", "float16": "f2", "half": "f2", "bfloat16": "bfloat16", "int64": "i8",
    "long": "i8", "int32": "i4", "int": "i4", "int16": "i2", "short": "i2", "int8": "i1", "uint8": "u1", "uint16": "u2", "uint32": "u4",
    "uint64": "u8", "bool": "?", "complex64": "c8", "complex128": "c16",
}  # fmt: skip


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or len(value) > 32 or not all(type(side) is int and 0 <= side < 1 << 48 for side in value):
        raise ConversionError(f"the pickle gives an array the shape {str(value)[:80]}")
    return tuple(value)


class Dtype(Build):
    """A NumPy element type."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        code = arguments[0] if arguments else None
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise ConversionError(f"the pickle uses the element type {str(code)[:40]!r}, which is not read here")
        self.dtype = np.dtype(code)

    def build(self, state: Any, stream: BytesIO) -> None:
        """Take the byte order; structured types are refused."""
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise ConversionError("the pickle uses a structured element type, which is not read here")
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


def _dtype(value: Any) -> np.dtype[Any]:
    if not isinstance(value, Dtype):
        raise ConversionError("the pickle gives an array without an element type")
    return value.dtype


def _elements(raw: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> NDArray[Any]:
    """An array over raw bytes; what is declared must be there, to the byte. A read-only view: no allocation follows a declaration."""
    raw = raw.encode("latin-1") if isinstance(raw, str) else raw
    if not isinstance(raw, (bytes, memoryview)) or dtype.hasobject:
        raise ConversionError("the pickle holds an array without its bytes")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ConversionError(f"the pickle declares an array of shape {shape} {dtype} and holds {len(raw)} bytes for it")
    array = np.frombuffer(raw, dtype).reshape(shape, order="F" if order == "F" else "C")
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _nested(values: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """An array of objects as nested lists."""
    if math.prod(shape) != len(values):
        raise ConversionError(f"the pickle declares {shape} objects and holds {len(values)}")
    for side in reversed(shape[1:]) if values else ():
        values = [values[index : index + side] for index in range(0, len(values), side)]
    return values


class Array(Build):
    """A NumPy array under construction; `value` in the end."""

    def __init__(self) -> None:
        self.value: Any = None

    def build(self, state: Any, stream: BytesIO) -> None:
        """Take (version, shape, dtype, is it Fortran's order, bytes or list)."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise ConversionError("the pickle holds an array whose state is not understood")
        shape, dtype, fortran, raw = state[-4:]
        if isinstance(raw, list):
            self.value = _nested(raw, _shape(shape))
        else:
            self.value = _elements(raw, _dtype(dtype), _shape(shape), "F" if fortran else "C")


class JoblibArray(Array):
    """joblib's wrapper: the array's bytes stand in the stream, right behind the object."""

    def build(self, state: Any, stream: BytesIO) -> None:
        """Take the description, then read the bytes."""
        if not isinstance(state, dict):
            raise ConversionError("the joblib file describes an array in a way that is not understood")
        dtype, shape = _dtype(state.get("dtype")), _shape(state.get("shape"))
        if dtype.hasobject:  # a pickle of its own follows; each level eats bytes, and Python's recursion limit ends a silly tower of them
            self.value = Reader(stream, meanings()).load()
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            stream.seek(stream.read(1)[0], 1)
        count = math.prod(shape) * dtype.itemsize
        if count > stream.getbuffer().nbytes - stream.tell():
            raise ConversionError(f"the joblib file declares an array of {count} bytes and ends before them")
        self.value = _elements(stream.read(count), dtype, shape, str(state.get("order")))


class Storage:
    """A torch storage: its elements come from elsewhere in the file (`fill`)."""

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.code, self.key, self.count = kind, key, count
        self.elements: NDArray[Any] | None = None

    @classmethod
    def named(cls, key: Any) -> Storage:
        """From the persistent id ("storage", class, key, device, number of elements[, view])."""
        if not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage" or not isinstance(key[1], Global):
            raise ConversionError(f"the torch file refers to something that is no storage: {str(key)[:80]}")
        code = _STORAGES.get(key[1].name.removesuffix("Storage")) if key[1].module.startswith("torch") else None
        if code is None or (len(key) > 5 and key[5] is not None):
            raise ConversionError(f"the torch file has a storage of the kind {key[1]}, which is not read here")
        return cls(code, str(key[2]), _shape([key[4]])[0])

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return 2 if self.code == "bfloat16" else np.dtype(self.code).itemsize

    def fill(self, raw: bytes, order: Literal["<", ">"] = "<") -> None:
        """Take the bytes."""
        if len(raw) < self.count * self.itemsize:
            raise ConversionError(f"the torch file declares {self.count} elements in the storage {self.key} and holds {len(raw)} bytes")
        raw = raw[: self.count * self.itemsize]
        self.elements = _typed(raw, self.code, order)


def _typed(raw: bytes, code: str, order: Literal["<", ">"] = "<") -> NDArray[Any]:
    if code == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(raw, order + "u2").astype(np.uint32) << 16).view(np.float32)
    dtype = np.dtype(code).newbyteorder(order)
    elements = np.frombuffer(raw, dtype)
    return elements if dtype.isnative else elements.astype(dtype.newbyteorder("="))


class Tensor:
    """A torch tensor: a window on a storage that may not be filled yet."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, dtype: str = "") -> None:
        if not isinstance(storage, Storage):
            raise ConversionError("the torch file holds a tensor without a storage")
        self.storage, self.dtype = storage, dtype
        (self.offset,), self.size, self.stride = _shape([offset]), _shape(size), _shape(stride)
        if len(self.size) != len(self.stride):
            raise ConversionError("the torch file holds a tensor with more sides than strides")

    def array(self) -> NDArray[Any]:
        """The elements: a read-only view on the storage."""
        flat = self.storage.elements
        if flat is None:
            raise ConversionError(f"the torch file holds no data for the storage {self.storage.key}")
        if self.dtype and self.storage.code == "u1":
            raw = flat.tobytes()
            itemsize = 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize
            flat = _typed(raw[: len(raw) // itemsize * itemsize], self.dtype)
        count = math.prod(self.size)
        if count == 0:
            return np.zeros(self.size, flat.dtype)
        last = self.offset + sum((side - 1) * step for side, step in zip(self.size, self.stride, strict=True))
        if last >= flat.size or count > flat.size:
            raise ConversionError(f"the torch file declares a tensor {self.size} that leaves its storage of {flat.size} elements")
        steps = [step * flat.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.size, steps, writeable=False)


def _tensor_v3(arguments: tuple[Any, ...]) -> Any:
    dtype = arguments[6] if len(arguments) > 6 else None
    code = _TORCH_DTYPES.get(dtype.name) if isinstance(dtype, Global) and dtype.module == "torch" else None
    if code is None:
        raise ConversionError(f"the torch file has a tensor of the type {dtype}, which is not read here")
    return Tensor(arguments[0], arguments[1], arguments[2], arguments[3], code)


def _typed_tensor(arguments: tuple[Any, ...]) -> Any:
    """A tensor subclass: (function, class, arguments, state)."""
    meaning = meanings().get(str(arguments[0])) if arguments and str(arguments[0]).startswith("torch._utils._rebuild_tensor") else None
    return meaning(arguments[2]) if meaning else Placeholder("torch._tensor._rebuild_from_type_v2", arguments)


def _pairs(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """OrderedDict(), dict(mapping), OrderedDict([[key, value], …]), defaultdict(factory[, mapping])."""
    content = next((item for item in arguments if isinstance(item, (dict, list))), {})
    if isinstance(content, dict):
        return dict(content)
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in content):
        raise ConversionError("the pickle fills a dictionary with something that is no pair")
    return {hashable(key): value for key, value in content}


def _sequence(arguments: tuple[Any, ...]) -> list[Any]:
    content = arguments[0] if arguments else []
    if not isinstance(content, (list, tuple, set, frozenset)):
        raise ConversionError("the pickle fills a list or set with something that is none")
    return list(content)


def _bytes(arguments: tuple[Any, ...]) -> bytes:
    """bytes(b"…"), bytearray("…", "latin-1"), _codecs.encode("…", "latin1"); never bytes(NUMBER)."""
    content = arguments[0] if arguments else b""
    if isinstance(content, str) and len(arguments) > 1 and arguments[1] in ("latin1", "latin-1"):
        return content.encode("latin-1")
    if isinstance(content, str) and len(arguments) == 1 and content.isascii():
        return content.encode()
    if isinstance(content, bytes):
        return content
    raise ConversionError("the pickle makes bytes out of something that is none")


def _complex(arguments: tuple[Any, ...]) -> complex:
    if len(arguments) == 2 and all(type(part) in (int, float) for part in arguments):
        return complex(*arguments)
    raise ConversionError("the pickle makes a complex number out of something that is none")


def _reconstructed(arguments: tuple[Any, ...]) -> Any:
    """An object of protocol 0 and 1: (class, base class, content)."""
    kind, base, content = arguments
    if str(kind) in _CONTAINERS:
        return _CONTAINERS[str(kind)]((content,) if content is not None else ())
    made = Placeholder(str(kind), (base,))
    if isinstance(content, dict):
        made.entries = content
    elif isinstance(content, list):
        made.items = content
    return made


def _scalar(arguments: tuple[Any, ...]) -> Any:
    dtype, raw = arguments
    return _elements(raw, _dtype(dtype), (), "C")[()]


def _from_buffer(arguments: tuple[Any, ...]) -> Any:
    made = Array()
    made.value = _elements(arguments[0], _dtype(arguments[1]), _shape(arguments[2]), str(arguments[3]))
    return made


_CONTAINERS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _pairs, "collections.defaultdict": _pairs, "collections.Counter": _pairs,
} | {
    f"{module}.{name}": meaning
    for module in ("builtins", "__builtin__")
    for name, meaning in {
        "dict": _pairs, "list": _sequence, "set": lambda a: {hashable(item) for item in _sequence(a)}, "complex": _complex, "bytes": _bytes,
        "frozenset": lambda a: frozenset(hashable(item) for item in _sequence(a)), "tuple": lambda a: tuple(_sequence(a)), "bytearray": _bytes,
    }.items()
}  # fmt: skip


def meanings() -> Mapping[str, Meaning]:
    """Full name → what a call of it, with these arguments, means."""
    return _MEANINGS


_MEANINGS: dict[str, Meaning] = {
    **_CONTAINERS,
    "_codecs.encode": _bytes, "copyreg._reconstructor": _reconstructed, "copy_reg._reconstructor": _reconstructed,
    "numpy.dtype": Dtype, "joblib.numpy_pickle.NumpyArrayWrapper": lambda _: JoblibArray(),
    "sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper": lambda _: JoblibArray(),
    **{
        f"numpy.{core}.{name}": meaning
        for core in ("core", "_core")
        for name, meaning in {
            "multiarray._reconstruct": lambda _: Array(), "multiarray.scalar": _scalar, "numeric._frombuffer": _from_buffer,
        }.items()
    },
    "torch._utils._rebuild_tensor": lambda a: Tensor(*a[:4]), "torch._utils._rebuild_tensor_v2": lambda a: Tensor(*a[:4]),
    "torch._utils._rebuild_tensor_v3": _tensor_v3, "torch._tensor._rebuild_from_type_v2": _typed_tensor,
    "torch._utils._rebuild_parameter": lambda a: a[0], "torch._utils._rebuild_parameter_with_state": lambda a: a[0],
    "torch.Size": lambda a: tuple(_sequence(a)), "torch.nn.parameter.Parameter": lambda a: a[0],
}  # fmt: skip
