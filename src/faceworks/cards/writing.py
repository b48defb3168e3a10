"""A card as TOML text: the inverse of `schema.parse`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from .schema import Card

__all__ = ["dump", "plain_toml"]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # a TOML basic string has JSON's escapes
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(str(key))} = {_value(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return repr(value)


def _entries(item: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values that differ from what holds when they do not stand."""
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        if field.name != "path" and (default is dataclasses.MISSING or value != default) and value is not None:
            yield field.name.rstrip("_"), value


def plain_toml(item: Any) -> str:
    """TOML of a dataclass whose fields are plain values, tables (dataclasses, mappings) and lists of tables: what `schema.build` reads as an equal one."""
    plain, tables = [], []
    for key, value in _entries(item):
        if dataclasses.is_dataclass(value):
            tables.append(f"\n[{key}]\n" + "".join(f"{name} = {_value(item)}\n" for name, item in _entries(value)))
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            tables += [f"\n[[{key}]]\n" + "".join(f"{name} = {_value(item)}\n" for name, item in _entries(entry)) for entry in value]
        elif isinstance(value, Mapping):
            tables.append(f"\n[{key}]\n" + "".join(f"{_value(str(name))} = {_value(item)}\n" for name, item in value.items()))
        else:
            plain.append(f"{key} = {_value(value)}\n")
    return "".join(plain + tables)


def dump(card: Card) -> str:
    """TOML that `parse` reads as an equal card (its `path` aside)."""
    return plain_toml(card)
