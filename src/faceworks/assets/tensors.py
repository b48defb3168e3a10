"""`read_tensors`: the weights in somebody else's pickle (torch, joblib, insightface), without running it."""

from __future__ import annotations

import bz2
import lzma
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from ..errors import ConversionError
from .lz4 import MAGIC as LZ4_MAGIC
from .lz4 import decode_frames
from .meanings import Array, Dtype, Storage, Tensor, meanings
from .opcodes import Global, Placeholder, Reader

__all__ = ["read_tensors"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DEPTH = 200
_NODES = 20_000_000
_SLACK = 1 << 26


class _Finish:
    """Turns what the reader built into plain lists and dicts with array leaves, bounding depth and expanded size.

    Shared objects stay shared; but what a reader who walks the result would see counts each time, so a "billion laughs" is refused.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._done: dict[int, tuple[Any, int, int, Any]] = {}
        self._active: set[int] = set()

    def finish(self, value: Any, depth: int = 0) -> tuple[Any, int, int]:
        """(plain value, number of nodes, bytes in arrays)."""
        if isinstance(value, (str, bytes, int, float, complex)) or value is None:
            return value, 1, 0
        if id(value) in self._done:
            return self._done[id(value)][:3]
        if depth > _DEPTH or id(value) in self._active:
            raise ConversionError("the pickle is recursive" if id(value) in self._active else f"the pickle is nested deeper than {_DEPTH} levels")
        self._active.add(id(value))
        result, nodes, size = self._plain(value, depth + 1)
        if nodes > _NODES or size > self._limit:
            raise ConversionError(f"the pickle expands to more than {_NODES} values or {self._limit} bytes")
        self._active.discard(id(value))
        self._done[id(value)] = (result, nodes, size, value)  # keeps `value` alive, so that its id stays its own
        return result, nodes, size

    def _plain(self, value: Any, depth: int) -> tuple[Any, int, int]:
        if isinstance(value, Tensor):
            array = value.array()
            return array, 1, array.nbytes
        if isinstance(value, Array):
            if value.value is None:
                raise ConversionError("the pickle holds an array without its bytes")
            return self.finish(value.value, depth)
        if isinstance(value, dict):
            parts = [self.finish(item, depth) for item in value.values()]
            keys = [self.finish(key, depth)[0] for key in value]
            return dict(zip(keys, (part[0] for part in parts), strict=True)), 1 + sum(part[1] for part in parts), sum(part[2] for part in parts)
        if isinstance(value, (list, tuple, set, frozenset)):
            parts = [self.finish(item, depth) for item in value]
            return type(value)(part[0] for part in parts), 1 + sum(part[1] for part in parts), sum(part[2] for part in parts)
        if isinstance(value, Placeholder):
            inner, nodes, size = self.finish([value.arguments, value.state, value.items, value.entries], depth)
            return Placeholder(value.kind, *inner), nodes + 1, size
        if isinstance(value, Global):
            return Placeholder(str(value)), 1, 0
        if isinstance(value, Storage):
            return Placeholder("torch.Storage", (value.key,)), 1, 0
        if isinstance(value, Dtype):
            return Placeholder("numpy.dtype", (value.dtype.str,)), 1, 0
        return value, 1, int(getattr(value, "nbytes", 0))


class _Storages(dict[str, Storage]):
    """Storages by key: the same key is the same storage."""

    def named(self, key: Any) -> Any:
        """What a persistent id stands for."""
        if isinstance(key, tuple) and key and key[0] == "module":  # a whole module in a legacy file: its class, no data
            return key[1] if len(key) > 1 else None
        made = Storage.named(key)
        return self.setdefault(made.key, made)


def _torch_zip(path: Path, limit: int) -> Any:
    """NAME/data.pkl, NAME/data/KEY per storage, NAME/byteorder."""
    try:
        with zipfile.ZipFile(path) as bundle:
            entries = {entry.filename: entry for entry in bundle.infolist()}
            main = next((name for name in entries if name.endswith("/data.pkl") or name == "data.pkl"), None)
            if main is None:
                raise ConversionError(f"{path.name} is a zip file without data.pkl: not a torch checkpoint")
            if sum(entry.file_size for entry in entries.values()) > limit:
                raise ConversionError(f"{path.name} unpacks to more than {limit} bytes")
            root = main.removesuffix("data.pkl")
            order = bundle.read(f"{root}byteorder").decode("ascii", "replace").strip() if f"{root}byteorder" in entries else "little"
            storages = _Storages()
            content = Reader(BytesIO(bundle.read(main)), meanings(), storages.named).load()
            for key, storage in storages.items():
                if f"{root}data/{key}" not in entries:
                    raise ConversionError(f"{path.name} lacks the storage {key}")
                storage.fill(bundle.read(f"{root}data/{key}"), ">" if order == "big" else "<")
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ConversionError(f"{path.name} is a broken zip file: {error}") from error
    return _Finish(limit).finish(content)[0]


def _legacy(stream: BytesIO, limit: int) -> Any:
    """Magic number, version, system, content, storage keys, then each storage as its length (int64) and its bytes."""
    version, system = Reader(stream, meanings()).load(), Reader(stream, meanings()).load()
    if version != 1001:
        raise ConversionError(f"the torch file has the version {str(version)[:20]}; 1001 is known")
    order: Literal["<", ">"] = "<" if not isinstance(system, dict) or system.get("little_endian", True) else ">"
    storages = _Storages()
    content = Reader(stream, meanings(), storages.named).load()
    keys = Reader(stream, meanings()).load()
    for key in keys if isinstance(keys, list) else ():
        storage = storages.get(str(key))
        count = int.from_bytes(stream.read(8), "little" if order == "<" else "big")
        if storage is None or count != storage.count:
            raise ConversionError(f"the torch file has no use for the storage {str(key)[:40]} of {count} elements")
        storage.fill(stream.read(count * storage.itemsize), order)
    return _Finish(limit).finish(content)[0]


def _unpacked(data: bytes, limit: int) -> bytes:
    """joblib's compressed files: LZ4, zlib, gzip, bzip2, xz; anything else is given back."""
    if data.startswith(LZ4_MAGIC):
        return decode_frames(data, limit)
    try:
        if data[:1] == b"\x78" or data.startswith(b"\x1f\x8b"):
            return _bounded(zlib.decompressobj(zlib.MAX_WBITS | 32), data, limit)
        if data.startswith(b"BZh"):
            return _bounded(bz2.BZ2Decompressor(), data, limit)
        if data.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
            return _bounded(lzma.LZMADecompressor(memlimit=1 << 28), data, limit)
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError) as error:
        raise ConversionError(f"the compressed data is broken: {error}") from error
    return data


def _bounded(decompressor: Any, data: bytes, limit: int) -> bytes:
    out: bytes = decompressor.decompress(data, limit + 1)
    if len(out) > limit or not decompressor.eof:
        raise ConversionError(f"the compressed data is truncated or holds more than {limit} bytes")
    return out


def read_tensors(path: Path | str, limit: int = 4 << 30) -> Any:
    """The content of a torch checkpoint (zip or legacy), a joblib file or a plain pickle as lists, dicts and tuples with NumPy arrays as leaves.

    Nothing in the file is executed. A name that is not plain data (optimizer, configuration class, …) becomes a `Placeholder` that holds its
    arguments. Arrays are read-only and may be views that share memory; bfloat16 becomes float32. Strings of Python 2 are text when they are
    ASCII, else bytes.

    Args:
        path: the file.
        limit: largest number of bytes, in the file and unpacked. What a file declares is compared with what it holds before memory is taken.

    Raises:
        ConversionError: broken, truncated, recursive, too large, or of a kind that is not read here.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > limit:
            raise ConversionError(f"it has {size} bytes, more than {limit}")
        budget = min(limit, 8 * size + _SLACK)
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                return _torch_zip(path, budget)
            file.seek(0)
            data = file.read()
        packed = _unpacked(data, min(limit, 64 * size + _SLACK))
        stream = BytesIO(packed)
        content = Reader(stream, meanings()).load()
        if type(content) is int and content == _LEGACY_MAGIC:
            return _legacy(stream, budget)
        return _Finish(max(budget, 2 * len(packed))).finish(content)[0]
    except ConversionError as error:
        raise ConversionError(f"cannot read tensors from {path}: {error}") from error
    except (OSError, ValueError, TypeError, IndexError, OverflowError, MemoryError, RecursionError) as error:
        raise ConversionError(f"cannot read tensors from {path}: {error}") from error
