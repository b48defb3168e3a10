"""Adapters by name: the built-in table of a task, then what other packages offer through entry points.

An outside package adds an adapter with an entry point in the group `faceworks.<task>` (`faceworks.detect`, `faceworks.embed`, …); the
entry's name is the `adapter` key that its cards use.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from .errors import CardError

__all__ = ["load_adapter", "resolve"]


def resolve(reference: str) -> Any:
    """Import the object that `"package.module:name"` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def load_adapter(task: str, name: str, builtin: Mapping[str, str]) -> Any:
    """Return the adapter class registered under `name` for `task`.

    Raises:
        CardError: no adapter of that name, with the nearest names.
    """
    if name in builtin:
        return resolve(builtin[name])
    from importlib.metadata import entry_points

    found = {entry.name: entry for entry in entry_points(group=f"faceworks.{task}")}
    if name in found:
        return found[name].load()
    known = sorted({*builtin, *found})
    near = difflib.get_close_matches(name, known, n=3)
    raise CardError(f"no {task} adapter is called {name!r}; {'did you mean ' + ', '.join(near) + '?' if near else 'known: ' + ', '.join(known)}")
