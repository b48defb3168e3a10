"""Reading TensorFlow.js models: the JSON file of topology and manifest, and the binary weights beside it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError

__all__ = ["attribute", "read_json", "read_weights"]

Array = NDArray[Any]
_TYPES = {"float32": np.float32, "int32": np.int32, "bool": np.bool_, "uint8": np.uint8, "uint16": np.uint16, "float16": np.float16}


def read_json(path: Path) -> Any:
    """The JSON document of a model.

    Raises:
        ConversionError: no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path.name} is no TensorFlow.js JSON file: {error}") from error


def read_weights(manifest: Sequence[Mapping[str, Any]], data: bytes) -> dict[str, Array]:
    """The arrays of a weights manifest by name, in float32 or as stored; `data` holds all its files, one after the other.

    Weights stored as float16 are widened; those stored as whole numbers are w = q · scale + min, as the manifest says.

    Raises:
        ConversionError: an unknown type, or more or fewer bytes than the manifest promises.
    """
    found: dict[str, Array] = {}
    at = 0
    for entry in (item for group in manifest for item in group["weights"]):
        name, shape = str(entry["name"]), [int(n) for n in entry["shape"]]
        quantization = entry.get("quantization")
        stored = str(quantization["dtype"] if quantization else entry["dtype"])
        if stored not in _TYPES or entry["dtype"] not in _TYPES:
            raise ConversionError(f"the weight {name} is stored as {stored}, which is not read; known: {', '.join(_TYPES)}")
        kind = np.dtype(_TYPES[stored]).newbyteorder("<")
        size = math.prod(shape) * kind.itemsize
        if at + size > len(data):
            raise ConversionError(f"the weights end in the middle of {name}: {len(data)} bytes are here, {at + size} are needed")
        values: Array = np.frombuffer(data, kind, math.prod(shape), at).reshape(shape)
        at += size
        if quantization and "scale" in quantization:
            values = values.astype(np.float32) * np.float32(quantization["scale"]) + np.float32(quantization["min"])
        found[name] = values.astype(_TYPES[str(entry["dtype"])])
    if at != len(data):
        raise ConversionError(f"the weights hold {len(data)} bytes, the manifest accounts for {at}: not the file of this model")
    return found


def attribute(node: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """An attribute of a graph node in plain Python: protobuf's JSON writes integers as text and bytes in base64."""
    value = node.get("attr", {}).get(name)
    return default if value is None else _plain(value)


def _plain(value: Mapping[str, Any]) -> Any:
    if "list" in value:
        items = value["list"]
        kind = next(iter(items), None)
        return [] if kind is None else [_plain({kind: item}) for item in items[kind]]
    if "s" in value:
        return base64.b64decode(value["s"]).decode("utf-8", "replace")
    if "i" in value:
        return int(value["i"])
    if "f" in value:
        return float(value["f"])
    if "b" in value:
        return bool(value["b"])
    if "shape" in value:
        return [int(item.get("size", 0)) for item in value["shape"].get("dim", [])]
    return next(iter(value.values()), None)
