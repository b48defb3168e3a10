"""Checkpoints without pickle: a nested state (dicts, lists, numbers, text, tensors) as one `.npz`: its arrays, and its skeleton as JSON.

A file is whole or not there (temporary file, fsync, rename): a run killed while it saves goes on from the checkpoint before.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import assets
from ..errors import ConfigError

__all__ = ["load", "save"]

_SKELETON = "skeleton"
FORMAT = "faceworks-checkpoint-1"


def _take_apart(value: Any, arrays: list[Any]) -> Any:
    if isinstance(value, torch.Tensor):
        if value.dtype == torch.bfloat16:
            raise TypeError("a checkpoint keeps float32, not bfloat16")
        arrays.append(value.detach().cpu().numpy())
        return {"$": "tensor", "at": len(arrays) - 1}
    if isinstance(value, dict):
        return {"$": "dict", "items": [[_take_apart(key, arrays), _take_apart(item, arrays)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"$": type(value).__name__, "items": [_take_apart(item, arrays) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint cannot keep a {type(value).__name__}")


def _put_together(value: Any, arrays: list[Any]) -> Any:
    if not isinstance(value, dict):
        return value
    kind = value["$"]
    if kind == "tensor":
        return torch.from_numpy(np.array(arrays[value["at"]]))
    if kind == "dict":
        return {_put_together(key, arrays): _put_together(item, arrays) for key, item in value["items"]}
    items = [_put_together(item, arrays) for item in value["items"]]
    return tuple(items) if kind == "tuple" else items


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state, all or nothing.

    Raises:
        TypeError: it holds something that is no dict, list, tuple, number, text, None or tensor.
        AssetUnavailable: the folder cannot be written.
    """
    arrays: list[Any] = []
    skeleton = json.dumps({"format": FORMAT, "state": _take_apart(state, arrays)})
    named = {f"a{place}": item for place, item in enumerate(arrays)}
    named[_SKELETON] = np.array(skeleton)

    def write(out: Any) -> None:
        np.savez(out, **named)

    assets.atomic_write(path, write)


def load(path: Path) -> dict[str, Any]:
    """Read a state back; arrays alone are read, nothing of the file is executed.

    Raises:
        ConfigError: no checkpoint, or a damaged one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = json.loads(str(file[_SKELETON]))
            if content.get("format") != FORMAT:
                raise ConfigError(f"{path}: not a checkpoint of this version ({FORMAT}), got {content.get('format')!r}")
            arrays = [file[f"a{place}"] for place in range(len(file.files) - 1)]
        state: dict[str, Any] = _put_together(content["state"], arrays)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: not a checkpoint, or a damaged one: {error}; remove the run's folder to begin anew") from error
    return state
