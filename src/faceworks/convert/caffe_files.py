"""Reading Caffe's two files: the structure (.prototxt, protobuf's text format) and the weights (.caffemodel, its wire format).

Both are read by small generic parsers after the format's specification; nothing of Caffe is needed. Field numbers are those of caffe.proto.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError

__all__ = ["Message", "read_structure", "read_weights"]

Message: TypeAlias = "dict[str, list[Any]]"
"""A message of the text format: field name → its values in order; a value is a number, a string, a bool, or a Message."""

_TOKEN = re.compile(r"""\s+|\#[^\n]*|(?P<text>"[^"\n]*"|'[^'\n]*')|(?P<word>[^\s:{}<>#,;"'\[\]]+)|(?P<mark>[:{}<>,;\[\]])""")
_DEPTH = 32


def _value(text: str) -> Any:
    if text[0] in "\"'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if re.search(r"[.eE]|inf|nan", text) else int(text)
    except ValueError:
        return text  # a name of an enumeration


def read_structure(text: str) -> Message:
    """Parse protobuf's text format.

    Raises:
        ConversionError: not in that format.
    """
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ConversionError(f"not a prototxt: unexpected {text[position : position + 20]!r}")
        if match.lastgroup:
            tokens.append(match[0])
        position = match.end()
    message, end = _fields(tokens, 0, "", 0)
    if end != len(tokens):
        raise ConversionError("not a prototxt: a bracket closes that was not open")
    return message


def _fields(tokens: list[str], position: int, closing: str, depth: int) -> tuple[Message, int]:
    message: Message = {}
    if depth > _DEPTH:
        raise ConversionError(f"not a prototxt: nested more than {_DEPTH} deep")
    while position < len(tokens) and tokens[position] != closing:
        name, following = tokens[position], tokens[position + 1] if position + 1 < len(tokens) else ""
        if name in ",;":
            position += 1
            continue
        if following == ":" and tokens[position + 2 : position + 3] not in (["{"], ["<"]):
            if position + 2 >= len(tokens) or tokens[position + 2] in "{}<>:":
                raise ConversionError(f"not a prototxt: the field {name!r} has no value")
            message.setdefault(name, []).append(_value(tokens[position + 2]))
            position += 3
            continue
        position += 1 + (following == ":")
        opening = tokens[position] if position < len(tokens) else ""
        if opening not in ("{", "<"):
            raise ConversionError(f"not a prototxt: {name!r} is followed by {opening!r}")
        inner, position = _fields(tokens, position + 1, "}" if opening == "{" else ">", depth + 1)
        message.setdefault(name, []).append(inner)
        position += 1
    if closing and position >= len(tokens):
        raise ConversionError("not a prototxt: it ends inside a bracket")
    return message, position


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ConversionError("not a caffemodel: a number runs over the end")
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _wire(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """(field number, wire type, value) of a message: an int for type 0, bytes for the others."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield key >> 3, kind, value
            continue
        if kind == 2:
            length, position = _varint(data, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ConversionError(f"not a caffemodel: wire type {kind}")
        if position + length > len(data):
            raise ConversionError("not a caffemodel: a field runs over the end")
        yield key >> 3, kind, data[position : position + length]
        position += length


def _blob(data: memoryview) -> NDArray[np.float32]:
    """BlobProto: data (5, packed or one by one) or double data (8), shape (7) or num, channels, height, width (1 to 4)."""
    legacy: dict[int, int] = {}
    shape: list[int] | None = None
    parts: list[NDArray[Any]] = []
    for number, kind, value in _wire(data):
        if number in (1, 2, 3, 4) and kind == 0:
            legacy[number] = value
        elif number == 5 and kind in (2, 5):
            parts.append(np.frombuffer(value, "<f4"))
        elif number == 8 and kind in (1, 2):
            parts.append(np.frombuffer(value, "<f8"))
        elif number == 7 and kind == 2:
            shape = []
            for field, form, dims in _wire(value):
                if field == 1:
                    shape += [dims] if form == 0 else _varints(dims)
    values = np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)
    sides = shape if shape is not None else [legacy.get(number, 1) for number in (1, 2, 3, 4)]
    if int(np.prod(sides, dtype=np.float64)) != values.size:
        raise ConversionError(f"not a caffemodel: {values.size} numbers in a blob of the shape {sides}")
    return values.reshape(sides)


def _varints(data: memoryview) -> list[int]:
    values, position = [], 0
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values


def read_weights(data: bytes) -> Mapping[str, list[NDArray[np.float32]]]:
    """Layer name → its blobs. Reads both generations of NetParameter: `layer` (100) and `layers` (2).

    Raises:
        ConversionError: not a caffemodel.
    """
    found: dict[str, list[NDArray[np.float32]]] = {}
    try:
        for number, kind, value in _wire(memoryview(data)):
            if number not in (2, 100) or kind != 2:
                continue
            name_field, blob_field = (1, 7) if number == 100 else (4, 6)
            name, blobs = "", []
            for field, form, inner in _wire(value):
                if field == name_field and form == 2:
                    name = bytes(inner).decode("utf-8", "replace")
                elif field == blob_field and form == 2:
                    blobs.append(_blob(inner))
            if blobs:
                found[name] = blobs
    except (ValueError, struct.error) as error:
        raise ConversionError(f"not a caffemodel: {error}") from error
    if not found:
        raise ConversionError("not a caffemodel: it holds no weights")
    return found
